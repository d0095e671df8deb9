"""Writes docs/boards.md from the boards that the package ships.

python docs/boards.py                              # from what lies in plugin/advisor/boards/
python docs/boards.py work_dirs/bccd --as bccd     # first takes over a board that was run, and its page
"""

from __future__ import annotations

import argparse
import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import markdown

from mmbackbones.advisor.records import shipped_boards
from mmbackbones.bench import halving
from mmbackbones.bench.forecasts import compared, told
from mmbackbones.leaderboard.records import RECORD, read_records
from mmbackbones.leaderboard.replay import board_of
from mmbackbones.leaderboard.scores import SCORES
from mmbackbones.leaderboard.standings import Results, Row, results_of
from mmbackbones.leaderboard.tables import all_of, conditions, figure, verdict
from mmbackbones.leaderboard_page.page import write_page

HERE = Path(__file__).parent
PAGE, PAGES, SHIPPED = HERE / "boards.md", HERE / "leaderboard", HERE.parent / "plugin" / "advisor" / "boards"
HEAD = """\
<!-- Written by docs/boards.py; do not edit. -->
# Boards

    mmbackbones leaderboard docs/leaderboard/bccd.yaml --work-dir work_dirs/bccd
    python docs/boards.py work_dirs/bccd --as bccd

What [the leaderboard](leaderboard.md) found on real images, at the size that one core of a CPU allows:
small images, short trainings, random weights. Read it as what such trainings say of nets, not as what the
nets reach. The records of all runs, and what each validation image adds to the metric, come with the
package (`mmbackbones/advisor/boards`): `mmbackbones leaderboard FOLDER` makes tables and page of them
again. `recommend` names the places of nets on them, but does not rank by them: what it recommends starts
from pretrained weights. The cores had other work at the same time, so times of the wall, and the probes'
forecasts of them, are rough.
"""
HALVING = """\
What halving would have taken and found (`python -m mmbackbones.bench.halving`), by asking the function that
says which run is next again, with pauses; time is that of the recorded runs:
"""


def take(folder: Path, name: str) -> None:
    """Take over a board: its records and scores, and its page without pictures, which are the data's own."""
    target = SHIPPED / name
    shutil.rmtree(target, ignore_errors=True)
    for key in read_records(folder):
        (target / "runs" / key).mkdir(parents=True)
        for file in (RECORD, SCORES):
            if (path := folder / "runs" / key / file).is_file():
                shutil.copyfile(path, target / "runs" / key / file)
    with TemporaryDirectory() as place:
        bare = Path(place) / name
        shutil.copytree(folder / "runs", bare / "runs", ignore=shutil.ignore_patterns("pictures", "train"))
        records = read_records(bare)
        shown = results_of(board_of(records), records, bare, f"work_dirs/{name}")
        page = write_page(shown).read_text(encoding="utf-8")
    page = page.replace(str(folder.absolute()), f"work_dirs/{name}")  # no place of this machine
    page = re.sub(r"/(?:[\w.-]+/)*shared/data/", "../shared/data/", page)
    (PAGES / f"{name}.html").write_text(page, encoding="utf-8")


def page() -> str:
    """The page, from all boards."""
    return "\n".join([HEAD, *(part for folder in shipped_boards() for part in section(folder))])


def section(folder: Path) -> list[str]:
    """What is told of one board."""
    records = read_records(folder)
    results = results_of(board_of(records), records, folder, folder.name)
    shared = conditions(results)
    what = f"{shared['model']}, {shared['epochs']} epochs of {shared['image_size']} in batches of"
    torch = dict.fromkeys(record.versions["torch"] for record in records.values())
    machine = f"{all_of(shared['device'])}, threads: {all_of(shared['threads'])}, torch {all_of([*torch])}"
    links = f"[spec](leaderboard/{folder.name}.yaml), [page](leaderboard/{folder.name}.html)"
    best, ties, cheap = verdict(results.rows, folder.name)
    parts = [
        f"## {folder.name}\n",
        f"{what} {shared['batch_size']}, {shared['precision']}; {machine}. {links}.\n",
        f"{best} {ties} {cheap.partition('. Train it')[0]}.\n",
        nets(results),
    ]
    parts += [HALVING, markdown([halving.HEAD, *(way.cells() for way in halving.ways(results))])]
    if runs := compared(records.values()):
        parts += [f"The probes' forecasts: {'; '.join(told(runs))}.\n"]
    return parts


def nets(results: Results) -> str:
    """The table of all nets, best first."""
    name = results.rows[0].records[0].metric_name
    head = ["group", "backbone", "trial", name, "95 %", "ms an image", "parameters", "MiB in training"]
    return markdown([head, *(_cells(row, name) for row in results.rows)])


def _cells(row: Row, name: str) -> list[Any]:
    one = row.standing
    latency, memory = row.latency, row.middle(lambda record: record.memory_mib)
    return [
        str(one.group),
        one.name,
        row.records[0].trial,
        figure(one.mean, name),
        f"{figure(one.low, name)} to {figure(one.high, name)}",
        "not measured" if latency is None else f"{latency:.1f}",
        f"{(row.records[0].params or 0) / 1e6:.1f} M",
        f"{memory:.0f}" if memory else "not measured",
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("board", nargs="?", type=Path)
    parser.add_argument("--as", dest="name")
    given = parser.parse_args()
    if given.board and given.name:
        take(given.board, given.name)
    PAGE.write_text(page(), encoding="utf-8")
