"""A board whose runs train nothing: the loop around them is what is tested.

``python tests/leaderboard_fake.py FOLDER`` runs it in FOLDER.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from mmbackbones.leaderboard.jobs import Outcome, read_outcome, write_outcome
from mmbackbones.leaderboard.lock import hold
from mmbackbones.leaderboard.loop import run_board
from mmbackbones.leaderboard.plan import Board, Run
from mmbackbones.leaderboard.records import Record

NETS, TRIALS, SEEDS = ("alpha", "beta", "gamma"), ("sgd", "adamw"), (0, 1, 2)


def board(
    nets: tuple[str, ...] = NETS, trials: tuple[str, ...] = TRIALS, seeds: tuple[int, ...] = SEEDS
) -> Board:
    keys = {(net, trial, seed): f"{net}-{trial}-{seed}" for net, trial, seed in product(nets, trials, seeds)}
    return Board(nets, trials, seeds, keys)


def metric_of(key: str) -> float:
    return sum(map(ord, key)) * 7919 % 1000 / 1000


def describe(run: Run) -> Record:
    return Record(run.key, "spec", "data", run.backbone, run.trial, run.seed, "failed", run.rung)


@dataclass
class FakeJob:
    """Three steps of work, each of which leaves a line; it goes on where an earlier one was killed."""

    run: Run
    folder: Path
    outcome: Outcome

    def poll(self) -> Outcome | None:
        if known := read_outcome(self.folder):
            return known
        steps = self.folder / "steps.txt"
        done = len(steps.read_text().split()) if steps.is_file() else 0
        if done < 3:
            with steps.open("a") as file:
                file.write("step\n")
            return None
        write_outcome(self.folder, self.outcome)
        return None

    def stop(self) -> None:
        return


@dataclass
class FakeExecutor:
    """Notes each start, and whether the run had ended before."""

    fails: dict[str, str]
    slots: int = 1

    def start(self, run: Run, folder: Path) -> FakeJob:
        with (folder.parents[1] / "starts.txt").open("a") as file:
            file.write(f"{run.key} {(folder / 'record.json').exists()}\n")
        cause = self.fails.get(run.key, "")
        facts = {} if cause else {"metric": metric_of(run.key), "history": [{"epoch": 1.0}], "seconds": 1.0}
        return FakeJob(run, folder, Outcome(cause, "on purpose" * bool(cause), facts))


def play(folder: Path, which: Board | None = None, pause: float = 0.0005, **fails: str) -> None:
    """Run the board, or go on with it."""
    with hold(folder):
        executor = FakeExecutor({key.replace("_", "-"): cause for key, cause in fails.items()})
        run_board(which or board(), folder, executor, describe, pause=pause)


def budgeted(seconds: float) -> Board:
    return replace(board(), seconds=seconds)


if __name__ == "__main__":
    play(Path(sys.argv[1]), pause=0.01)  # slow enough to be killed in the middle, several times
