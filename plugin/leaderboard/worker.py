"""One run, in a process of its own: ``python -m mmbackbones.leaderboard.worker FOLDER --parent PID``.

The folder holds ``config.py``; what is added is ``train/`` (all that ``mmbackbones train`` leaves),
``scores.npz``, ``pictures/`` and, as the last act, ``outcome.json``. An interrupted training goes on where it
was, and so does one that was to pause (``--until``). In a folder with :data:`.latency.RUNS` it times the
models of the runs that stand there instead.
"""

from __future__ import annotations

import argparse
import copy
import errno
import json
import math
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from ..engine.own_process import own_process
from ..errors import InputError
from .jobs import Outcome, write_outcome
from .latency import RUNS
from .lock import hold
from .orphans import die_with

_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "Cannot allocate memory")
_FULL = (errno.ENOSPC, errno.EDQUOT)
_PATIENCE = 60.0  # seconds


class WeightsError(InputError):
    """The weights that a run starts from cannot be had."""


def main(argv: list[str] | None = None) -> int:
    """Run it; returns the exit status, 0 if it was trained to its end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--task", default="detection")
    parser.add_argument("--device")
    parser.add_argument("--until", type=int)
    parser.add_argument("--onnx", action="store_true")
    asked = parser.parse_args(argv)
    die_with(asked.parent)
    work = asked.folder / "train"
    try:
        with own_process(), hold(asked.folder, _PATIENCE):  # an earlier one may be dying with its node
            if (asked.folder / RUNS).is_file():
                outcome = time_runs(asked.folder, asked.device)
            else:
                outcome = train_and_measure(
                    asked.folder, work, asked.task, asked.device, asked.until, asked.onnx
                )
    except KeyboardInterrupt as stop:  # asked to stop: what is needed to go on has been saved
        return 128 + int(getattr(stop, "signum", signal.SIGINT))
    except Exception as error:  # a net may fail in any way, and each is a row of the board
        traceback.print_exc()
        outcome = Outcome(cause_of(error), str(error) or type(error).__name__)
    write_outcome(asked.folder, outcome)
    if outcome.cause:
        return 1
    if outcome.until is not None:
        return 0
    for state in (*work.glob("epoch_*.pth"), *work.glob("iter_*.pth")):
        state.unlink()  # to go on from; last.pth stays
    return 0


def train_and_measure(
    folder: Path, work: Path, task: str, device: str | None, until: int | None = None, onnx: bool = False
) -> Outcome:
    """The training, by the engine of ``mmbackbones train``; returns fields of its record.

    Args:
        folder: of the run.
        work: for what the training leaves.
        task: of the board.
        device: as ``--device`` of ``mmbackbones train``.
        until: epoch or iteration where it pauses, 0 for a probe; None for its end.
        onnx: measure it as an ONNX file too.

    Raises:
        WeightsError: the weights to start from cannot be read.
        InputError: as :func:`mmbackbones.engine.train.train`, or there are no figures.
    """
    from rich.console import Console

    from ..compose.configs import load_config
    from ..compose.pretrained import addresses
    from ..engine.devices import choose_device
    from ..engine.stops import PausedError, PauseHook
    from ..engine.train import train
    from ..weights.files import read_data
    from .energy import joules
    from .measure import size_of, surroundings, trained
    from .onnx_latency import onnx_latency
    from .pictures import write_pictures
    from .scores import SCORES
    from .transfer import transfer_score

    used = choose_device(device)
    cfg = load_config(str(folder / "config.py"))
    for address in addresses(cfg):
        try:
            read_data(address)
        except InputError as error:
            raise WeightsError(str(error)) from error
    if until == 0:
        found = forecast(cfg, folder)
        if starts_pretrained(cfg) and (score := transfer_score(cfg, used)) is not None:
            found["transfer"] = score
        return Outcome(facts={"forecast": found, **surroundings(used)}, until=0)
    resume = last_state(cfg, work)
    training = keeping_scores(cfg, task, folder / SCORES)
    if until is not None:
        hook = {"type": f"mmbackbones.{PauseHook.__name__}", "until": until}
        training.custom_hooks = [*(training.get("custom_hooks") or []), hook]
    began, before = time.monotonic(), joules(used)
    failure = ""
    try:
        if until is None or evaluated_to(work) < until:
            failure = train(
                training, work, resume=resume, console=Console(file=sys.stdout, width=110)
            ).failure
    except PausedError:
        pass
    after = joules(used)
    energy = {"energy_joules": None if before is None or after is None else after - before}
    metric = metric_of(folder / SCORES)
    if not math.isfinite(metric):
        raise InputError(f"The training failed: {failure or 'the metric is no number.'}")
    if until is not None:
        return Outcome(
            facts={
                "metric": metric,
                "history": history_of(cfg, work),
                "seconds": round(time.monotonic() - began, 1),
                **energy,
                **surroundings(used),
            },
            until=until,
        )
    left = json.loads((work / "metrics.json").read_text(encoding="utf-8"))
    milliseconds = left.get("train_ms")
    exported = onnx_latency(copy.deepcopy(cfg), work / "last.pth") if onnx else None
    with trained(copy.deepcopy(cfg), work / "last.pth") as runner:
        write_pictures(runner, folder)
        size = size_of(runner)
    facts = {
        "metric": metric,
        "history": left["history"],
        "by_class": left["by_class"],
        "train_seconds_per_iter": milliseconds and milliseconds * cfg.train_dataloader.batch_size / 1e3,
        "memory_mib": left.get("memory_mib"),
        "seconds": left["seconds"],
        "checkpoint_bytes": (work / "last.pth").stat().st_size,
        **energy,
        **({"onnx": exported} if exported is not None else {}),
        **size,
        **surroundings(used),
    }
    return Outcome(facts=facts)


def time_runs(folder: Path, device: str | None) -> Outcome:
    """Latency of the models of the runs that :data:`.latency.RUNS` in ``folder`` names, in turn."""
    from ..engine.devices import choose_device
    from .measure import latency_of_runs
    from .records import run_folder

    choose_device(device)
    keys = json.loads((folder / RUNS).read_text(encoding="utf-8"))
    return Outcome(
        facts={"latency_ms": latency_of_runs({key: run_folder(folder.parent, key) for key in keys})}
    )


def forecast(cfg: Any, folder: Path) -> dict[str, float]:
    """What a probe finds (see :attr:`.records.Record.forecast`), from a few batches of the training.

    Raises:
        MemoryError: a batch does not fit; the message has the missing MiB.
    """
    from rich.console import Console

    from ..engine.train import train
    from .probe import ProbedError, ProbeHook

    cfg.custom_hooks = [
        *(cfg.get("custom_hooks") or []),
        {"type": f"mmbackbones.{ProbeHook.__name__}", "began": time.monotonic()},
    ]
    work = folder / "probe"
    work.mkdir(exist_ok=True)
    try:
        train(cfg, work, console=Console(file=sys.stdout, width=110))
    except ProbedError as end:
        return dict(end.args[0])
    finally:
        shutil.rmtree(work, ignore_errors=True)
    raise InputError("The training has no steps to probe: there are no images to train on.")


def starts_pretrained(cfg: Any) -> bool:
    """Whether the backbone itself starts from weights; of random ones no score is worth its time."""
    from ..compose.pretrained import addresses

    return "backbone" in cfg.model and bool(addresses(type(cfg)({"model": cfg.model.backbone})))


def metric_of(path: Path) -> float:
    """The metric of the last evaluation, from what each image added to it."""
    import numpy as np

    from .scores import load_scores

    scores = load_scores(path)
    return float(scores.metric(np.ones((1, scores.count), np.int64))[0])


def evaluated_to(work: Path) -> int:
    """The last epoch or iteration with an evaluation; 0 without any."""
    from ..engine.report import read_history

    return max(read_history(work).evaluations, default=0)


def history_of(cfg: Any, work: Path) -> list[dict[str, Any]]:
    """The evaluations so far, as ``metrics.json`` has them at the end."""
    from ..compose.configs import is_epoch_based
    from ..engine.report import plain, read_history

    unit = "epoch" if is_epoch_based(cfg) else "iteration"
    evaluations = read_history(work).evaluations
    return [{unit: step, **plain(figures)} for step, figures in sorted(evaluations.items())]


def last_state(cfg: Any, work: Path) -> Path | None:
    """The checkpoint to go on from; without one what an attempt left is cleared, and None is returned.

    A checkpoint is written before its evaluation. If that never came, the one before is taken, so that no
    evaluation is missing in the end.
    """
    from ..compose.configs import is_epoch_based
    from ..engine.report import read_history
    from ..weights.files import read_checkpoint

    unit, interval = "epoch" if is_epoch_based(cfg) else "iter", cfg.train_cfg.val_interval
    evaluated = read_history(work).evaluations.keys()
    states = [path for name in ("interrupted", "epoch_*", "iter_*") for path in work.glob(f"{name}.pth")]
    for path in sorted(states, key=lambda path: -path.stat().st_mtime_ns):
        done = read_checkpoint(path)["meta"][unit]
        if evaluated >= set(range(interval, done + 1, interval)):
            return path
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    return None


def keeping_scores(cfg: Any, task: str, path: Path) -> Any:
    """A copy of ``cfg`` whose evaluator also writes what each image adds to its metric.

    Raises:
        InputError: it has another metric.
    """
    from ..compose.configs import kind

    cfg = copy.deepcopy(cfg)
    evaluator = cfg.val_evaluator
    if kind(evaluator) == "CocoMetric":
        from . import coco_scores

        scored = "segm" if task == "instance" else "bbox"
        evaluator.update(type=f"mmbackbones.{coco_scores.CocoScores.__name__}", scored=scored)
    elif kind(evaluator) == "IoUMetric":
        from . import iou_scores

        evaluator.update(type=f"mmbackbones.{iou_scores.IoUScores.__name__}")
    else:
        raise InputError(f"val_evaluator is {kind(evaluator)}: a board needs CocoMetric or IoUMetric.")
    evaluator.scores_file = str(path)
    return cfg


def cause_of(error: BaseException) -> str:
    """Which of :data:`.records.CAUSES` an exception is, or what it came from; ``disk`` if that is full."""
    from ..engine.failures import LossError

    chain: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in chain:
        chain.append(following)
        following = following.__cause__ or following.__context__
    for one in chain:
        if isinstance(one, OSError) and one.errno in _FULL:
            return "disk"
        if isinstance(one, MemoryError) or any(words in str(one) for words in _MEMORY):
            return "oom"
        if isinstance(one, LossError):
            return "nan"
        if isinstance(one, WeightsError):
            return "weights"
    return "config" if isinstance(error, InputError) else "error"


if __name__ == "__main__":
    sys.exit(main())
