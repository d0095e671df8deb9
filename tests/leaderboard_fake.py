"""A board whose runs train nothing: the loop around them is what is tested.

``python tests/leaderboard_fake.py FOLDER [RUNG ...]`` runs it in FOLDER, with halving at those epochs.
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
from mmbackbones.leaderboard.records import Record, read_record

NETS, TRIALS, SEEDS = ("alpha", "beta", "gamma"), ("sgd", "adamw"), (0, 1, 2)


def board(
    nets: tuple[str, ...] = NETS, trials: tuple[str, ...] = TRIALS, seeds: tuple[int, ...] = SEEDS
) -> Board:
    keys = {(net, trial, seed): f"{net}-{trial}-{seed}" for net, trial, seed in product(nets, trials, seeds)}
    return Board(nets, trials, seeds, keys)


def metric_of(key: str, epoch: int = 3) -> float:
    return sum(map(ord, key)) * 7919 % (997 + epoch) / 1000


def describe(run: Run) -> Record:
    known = Record(run.key, "spec", "data", run.backbone, run.trial, run.seed, "failed", run.rung)
    return replace(known, metric_name="mIoU")


@dataclass
class FakeJob:
    """Three epochs of work, each of which leaves a line; it goes on where an earlier one was killed."""

    run: Run
    folder: Path
    cause: str

    def poll(self) -> Outcome | None:
        known = read_outcome(self.folder)
        if known and (known.cause or known.answers(self.run)):
            return known
        steps = self.folder / "steps.txt"
        done = len(steps.read_text().split()) if steps.is_file() else 0
        if done < (3 if self.run.until is None else self.run.until):
            with steps.open("a") as file:
                file.write("step\n")
            return None
        write_outcome(self.folder, self.outcome(done))
        return None

    def outcome(self, done: int) -> Outcome:
        if self.cause:
            return Outcome(self.cause, "on purpose")
        history = [{"epoch": n, "mIoU": metric_of(self.run.key, n)} for n in range(1, done + 1)]
        if not done:
            return Outcome(facts={"forecast": {"seconds": 9.0, "memory_mib": 5.0}}, until=0)
        facts = {"metric": metric_of(self.run.key, done), "history": history, "seconds": 1.0}
        return Outcome(facts=facts, until=self.run.until)

    def stop(self) -> None:
        return


@dataclass
class FakeExecutor:
    """Notes each start, and whether the run had ended before."""

    fails: dict[str, str]
    slots: int = 1

    def start(self, run: Run, folder: Path) -> FakeJob:
        with (folder.parents[1] / "starts.txt").open("a") as file:
            record = folder / "record.json"
            ended = record.exists() and read_record(record).state != "paused"
            file.write(f"{run.key} {ended} {run.until}\n")
        return FakeJob(run, folder, self.fails.get(run.key, ""))


def play(folder: Path, which: Board | None = None, pause: float = 0.0005, **fails: str) -> None:
    """Run the board, or go on with it."""
    with hold(folder):
        executor = FakeExecutor({key.replace("_", "-"): cause for key, cause in fails.items()})
        run_board(which or board(), folder, executor, describe, pause=pause)


def budgeted(seconds: float) -> Board:
    return replace(board(), seconds=seconds)


def halved(*rungs: int) -> Board:
    return replace(board(), rungs=rungs)


if __name__ == "__main__":
    which = halved(*map(int, sys.argv[2:]))
    play(Path(sys.argv[1]), which, pause=0.01)  # slow enough to be killed in the middle, several times
