"""Every config of mmdet and mmseg with four other backbones: what `docs/swap.md` shows.

python docs/swap_sweep            # all, goes on where it stopped
python docs/swap_sweep --train    # one config of each family takes a training step and predicts
python docs/swap_sweep --proof    # to the same ResNet with copied weights: same losses, same predictions
python docs/swap_sweep --write    # only write docs/swap.md from what has run so far

For each distinct model (see distinct.py) the stock one and the four swapped ones are built on the meta
device, an image goes through backbone and neck, the maps through the heads. Accepted means: the maps have the
stock model's sizes and each head that ran returns what the stock one returns, shape by shape. Results lie in
build/swap_sweep/, one file for each model or family; `--again` judges again what is not accepted there.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import NamedTuple

from distinct import CACHE, ROOT, family, first_names, index, names
from page import fine, note_installed, page, results
from shapes import NETS
from shapes import judge as judge_shapes
from workers import Stage, run

import mmbackbones

sys.path.insert(0, str(ROOT / "tests"))  # samples and proof are the tests' own

from proof import judge as judge_proof  # noqa: E402
from proof import provable  # noqa: E402
from train import judge as judge_train  # noqa: E402

PAGE = ROOT / "docs" / "swap.md"


class Kind(NamedTuple):
    """A stage: what it does with a config, and in how many seconds at most."""

    judge: Stage
    seconds: int


STAGES = {"shapes": Kind(judge_shapes, 240), "train": Kind(judge_train, 400), "proof": Kind(judge_proof, 400)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", dest="stage", action="store_const", const="train", default="shapes")
    parser.add_argument("--proof", dest="stage", action="store_const", const="proof")
    parser.add_argument("--write", action="store_true", help="only write the page")
    parser.add_argument("--again", action="store_true", help="judge again what is not accepted")
    parser.add_argument("--only", default="", help="only configs whose names hold this")
    parser.add_argument("--jobs", type=int, default=1, help="processes at once")
    given = parser.parse_args()
    CACHE.mkdir(parents=True, exist_ok=True)
    known = index(names())
    if not given.write:
        for net in NETS:  # traced once, before the processes fork
            mmbackbones.build(net, pretrained=False)
        todo = {
            key: name
            for key, name in cases(given.stage, known).items()
            if given.only in name and _open(given.stage, key, given.again)
        }
        stage = STAGES[given.stage]
        run(stage.judge, todo, CACHE / given.stage, stage.seconds, given.jobs)
        note_installed()
    PAGE.write_text(page(known), encoding="utf-8")


def cases(stage: str, known: dict[str, str]) -> dict[str, str]:
    """The configs of a stage, by the names of their results: distinct models, else one of each family."""
    first = first_names(known)
    if stage == "shapes":
        early = set(_one_of_each(list(first.values())).values())
        return dict(sorted(first.items(), key=lambda item: item[1] not in early))
    judged = results("shapes")
    models = [name for name, key in known.items() if fine("shapes", judged.get(key, {}))]
    found = _one_of_each(models, provable) if stage == "proof" else _one_of_each(models)
    return {of.replace("::", "--"): name for of, name in found.items()}


def _one_of_each(models: list[str], wanted: Callable[[str], bool] = bool) -> dict[str, str]:
    """The first config of each family that is wanted; of those behind it none is read."""
    found: dict[str, str] = {}
    for name in models:
        if family(name) not in found and wanted(name):
            found[family(name)] = name
    return found


def _open(stage: str, key: str, again: bool) -> bool:
    path = CACHE / stage / f"{key}.json"
    if not path.is_file():
        return True
    return again and not fine(stage, json.loads(path.read_text()))


if __name__ == "__main__":
    main()
