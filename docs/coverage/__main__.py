"""Sweeps the open set, every name of timm and torchvision, and writes ``docs/coverage.md``.

    python docs/coverage [--only PATTERN] [--failed] [--jobs N] [--fresh]

Every network is built on the meta device, so that nothing is computed and no memory is filled. It is
held against points 1, 3 and 4 of the contract: maps of exactly ``ceil(size / stride)`` cells, channels and
strides as ``get_spec`` says, one stride alone, a stride that it lacks refused. Results are
kept in ``build/coverage.jsonl``; a sweep that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import threading
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from processes import Worker
from table import page
from verdicts import BOUND, FREE, names, versions

ROOT = Path(__file__).parents[2]
CACHE = ROOT / "build" / "coverage.jsonl"
PAGE = ROOT / "docs" / "coverage.md"
#: Where the part begins that ``docs/sweep_table.py`` writes.
SWEPT = "## Every check on every name"


def read_cache() -> dict[str, dict[str, Any]]:
    """The last result of each name, of the installed versions only."""
    if not CACHE.exists():
        return {}
    lines = [json.loads(line) for line in CACHE.read_text(encoding="utf-8").splitlines()]
    made_with = versions()
    return {line["name"]: line for line in lines if line["versions"] == made_with}


def sweep(todo: dict[str, str], jobs: int, every: Iterable[str]) -> None:
    """Check ``todo``; each result goes to the cache and, with all others, to the page."""
    CACHE.parent.mkdir(exist_ok=True)
    made_with, writing = versions(), threading.Lock()

    def run(share: list[str]) -> None:
        worker = Worker()
        for name in share:
            line = {"name": name, "family": todo[name], **worker(name), "versions": made_with}
            with writing:
                with CACHE.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
                write_page(every)

    shares = [list(todo)[start::jobs] for start in range(jobs)]
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(run, shares))


def write_page(every: Iterable[str]) -> None:
    """The page, from the results so far; the part of ``docs/sweep_table.py``, at its end, stays."""
    results = read_cache()
    text = page([results[name] for name in every if name in results], every)
    _, head, rest = PAGE.read_text(encoding="utf-8").partition(f"\n{SWEPT}")
    PAGE.write_text(text + "\n" + head + rest, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", default="*", help="a shell pattern of names, as 'timm:*beit*'")
    parser.add_argument("--failed", action="store_true", help="check again what did not work")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--fresh", action="store_true", help="start over")
    options = parser.parse_args()
    if options.fresh:
        CACHE.unlink(missing_ok=True)
    every, known = names(), read_cache()
    if options.failed:
        known = {name: line for name, line in known.items() if line["verdict"] in (FREE, BOUND)}
    patterns = options.only.split(",")
    todo = {
        name: family
        for name, family in every.items()
        if name not in known and any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
    }
    rank: Counter[str] = Counter()
    ranks: dict[str, int] = {}
    for name in todo:  # one of each family first: what goes wrong shows early
        rank[todo[name]] += 1
        ranks[name] = rank[todo[name]]
    sweep(dict(sorted(todo.items(), key=lambda item: ranks[item[0]])), options.jobs, every)
    write_page(every)


if __name__ == "__main__":
    main()
