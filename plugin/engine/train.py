"""Training from a resolved config to the folder of results."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine import dist
from mmengine.config import Config
from mmengine.hooks import LoggerHook
from mmengine.runner import find_latest_checkpoint
from rich.console import Console

from ..compose.configs import is_epoch_based, resolved, task_of
from ..errors import InputError
from ..finetune.freeze_report import FreezeReportHook
from ..weights.checkpoints import read_checkpoint
from . import report
from .cost import CostHook
from .explained import errors_explained
from .failures import LossCheckHook, failure_of
from .hooks import ProgressHook
from .plain_weights import save_plain
from .runner import OnceFormatted, Runner, build_runner, library_output_to_log
from .seeds import SeedHook
from .stops import INTERRUPTED, StopHook
from .validation_grid import write_validation_grid


@dataclass(frozen=True)
class Results:
    """Where a training left what it made.

    Attributes:
        files: By what they are.
        metrics: The figures of the last evaluation.
        by_class: The figure of each class in it: AP (of masks, where there are any) or IoU in percent.
        last: When the last evaluation was, as ``epoch 12``.
        best: When the one of ``best.pth`` was, and its figures; empty where there is none.
        failure: Why nothing was learned; empty if something was.
        costs: ``seconds`` in all, and what :class:`~.cost.CostHook` measured.
    """

    files: dict[str, Path]
    metrics: report.Figures
    by_class: dict[str, float | None]
    costs: report.Figures
    last: str = ""
    best: tuple[str, report.Figures] = ("", {})
    failure: str = ""


def find_resume(work_dir: Path, resume: str | None) -> Path | None:
    """The checkpoint to resume from: None, ``'auto'`` for the last one in ``work_dir``, or a path.

    Raises:
        InputError: there is none.
    """
    if resume is None:
        return None
    if resume != "auto":
        if not Path(resume).is_file():
            raise InputError(f"--resume: there is no checkpoint file {resume}.")
        return Path(resume)
    found = find_latest_checkpoint(str(work_dir)) if (work_dir / "last_checkpoint").is_file() else None
    path = Path(found) if found else None
    if path is not None and (work_dir / path.name).is_file():
        path = work_dir / path.name  # the folder may have been moved or copied since
    if path is None or not path.is_file():
        raise InputError(f"--resume: {work_dir} holds no checkpoint yet; start without --resume.")
    return path


def train(cfg: Config, work_dir: Path, *, resume: Path | None = None, console: Console) -> Results:
    """Train, evaluate, and leave checkpoint, figures, curves, pictures and config in ``work_dir``.

    Args:
        cfg: resolved config (see :func:`mmbackbones.compose.fit.fit`).
        work_dir: a folder; made, if it is not there, when the model is built.
        resume: checkpoint to continue from.
        console: for progress.

    Raises:
        InputError: the config cannot be built, data is missing, or the checkpoint is of another model.
        KeyboardInterrupt: the user stopped; a checkpoint to resume from is in ``work_dir``.
    """
    cfg.work_dir = str(work_dir)
    cfg.resume = resume is not None
    if resume is not None:
        cfg.load_from = str(resume)
        for note in _go_on_from(cfg, resume):
            console.print(f"  {note}", highlight=False)
    started = time.monotonic()
    runner = build_runner(cfg)
    if runner.rank == 0:
        write_config(cfg, work_dir / "config.py")
    if resume is not None:
        runner.check_resume(resume)
    progress, stop, cost = ProgressHook(console), StopHook(), CostHook()
    for hook in (progress, stop, cost, LossCheckHook(), SeedHook()):
        runner.register_hook(hook)
    if not any(isinstance(hook, FreezeReportHook) for hook in runner.hooks):
        runner.register_hook(FreezeReportHook())
    for hook in runner.hooks:
        if isinstance(hook, LoggerHook):  # mmdet's says epoch 0 of all evaluations, where iterations count
            hook.log_metric_by_epoch = is_epoch_based(cfg)
    stop.install()
    try:
        with library_output_to_log(), errors_explained():
            runner.train()
            if runner.stopped_early:
                console.print(f"Stopped early: {runner.stopped_early}.", highlight=False)
            _evaluate_at_end(runner, work_dir, progress.evaluated_at)
    except FileNotFoundError as error:
        raise InputError(
            f"A file of the data is missing: {error}. Give your own data with --data."
        ) from error
    except OSError as error:
        saved = (work_dir / "last_checkpoint").is_file()
        then = f"The last complete checkpoint is in {work_dir}; when that is mended, go on with --resume."
        nothing = "When that is mended, start again: there was nothing to save yet."
        raise InputError(f"Reading or writing failed: {error}. {then if saved else nothing}") from error
    finally:
        stop.release()
        progress.close()
        cost.close()
    if runner.rank != 0:
        return Results({}, {}, {}, {})
    costs = {"seconds": round(time.monotonic() - started, 1), **cost.figures}
    return write_results(runner, work_dir, costs)


def write_config(cfg: Config, path: Path) -> Path:
    """Write the resolved config, so that it can be trained again.

    Left out is what belongs to one run.
    """
    content = resolved(cfg)
    for key in ("launcher", "model_wrapper_cfg", "experiment_name"):
        content.pop(key, None)
    if content.get("resume"):
        content["load_from"] = None
    content["resume"] = False
    OnceFormatted(content).dump(path)
    return path


def write_results(runner: Runner, work_dir: Path, costs: report.Figures) -> Results:
    """Write ``last.pth``, ``best.pth``, ``metrics.json``, ``curves.png`` and ``predictions.png``."""
    files = _name_checkpoints(runner, work_dir)
    history = report.read_history(work_dir, runner.first_run)
    in_epochs = is_epoch_based(runner.cfg)
    last, unit = (runner.epoch, "epoch") if in_epochs else (runner.iter, "iteration")
    final = history.evaluations.get(last, {})
    when = _best_step(runner)
    best = {} if when is None else history.evaluations.get(when, {})
    content = {
        "task": task_of(runner.cfg),
        "final": final,
        "history": [{unit: step, **figures} for step, figures in sorted(history.evaluations.items())],
        "best": best,
        f"best_{unit}": when,
        "epochs" if in_epochs else "iterations": runner.max_epochs if in_epochs else runner.max_iters,
        **costs,
        "classes": list(_classes(runner)),
        "by_class": report.class_figures(final, _classes(runner)),
    }
    files["metrics"] = report.write_json(work_dir / "metrics.json", content)
    steps = len(runner.train_dataloader) if in_epochs else None
    files["curves"] = report.write_curves(work_dir / "curves.png", history, steps)
    if runner.cfg.get("val_dataloader"):
        files["pictures"] = write_validation_grid(
            work_dir / "predictions.png",
            runner.network,
            runner.cfg,
            runner.val_dataloader.dataset,
        )
    files["config"] = work_dir / "config.py"
    named = (f"{unit} {when}", best) if best else ("", {})
    failure = failure_of(runner.cfg, final)
    return Results(files, final, content["by_class"], costs, f"{unit} {last}", named, failure)


def _evaluate_at_end(runner: Runner, work_dir: Path, evaluated_at: int | None) -> None:
    """Evaluate if the last state was not: a training resumed at its very end has nothing left to train."""
    if runner.val_loop is None or evaluated_at == runner.iter:
        return
    last = runner.epoch if is_epoch_based(runner.cfg) else runner.iter
    missing = [last not in report.read_history(work_dir, runner.first_run).evaluations]
    dist.broadcast_object_list(missing)  # the first process writes the log, so it knows
    if missing[0]:
        runner.val_loop.run()


def _name_checkpoints(runner: Runner, work_dir: Path) -> dict[str, Path]:
    """Write the weights of the last and the best checkpoint under names that stay from run to run."""
    (work_dir / INTERRUPTED).unlink(missing_ok=True)
    named = {}
    info = runner.message_hub.runtime_info
    for name, source in (("last", info.get("last_ckpt")), ("best", info.get("best_ckpt"))):
        if source and Path(source).is_file():
            target = work_dir / f"{name}.pth"
            target.unlink(missing_ok=True)
            save_plain(Path(source), target)
            named[f"{name} checkpoint"] = target
    return named


def _best_step(runner: Runner) -> int | None:
    """When ``best.pth`` was evaluated: mmengine names the file ``best_<figure>_epoch_<number>.pth``."""
    found = re.search(r"_(\d+)\.pth$", str(runner.message_hub.runtime_info.get("best_ckpt", "")))
    return int(found[1]) if found else None


def _go_on_from(cfg: Config, resume: Path) -> list[str]:
    """Put the seed of a checkpoint into ``cfg``, and say if its training has ended already.

    mmengine reads the seed too, but when the order of the images is made already from another.
    """
    meta = read_checkpoint(resume).get("meta") or {}
    given = cfg.get("randomness") or {}
    if meta.get("seed") is not None and given.get("seed") is None:
        cfg.randomness = {**given, "seed": meta["seed"]}
    loop, unit = cfg.train_cfg, "epoch" if is_epoch_based(cfg) else "iter"
    done, end = meta.get(unit, 0), loop.get("max_epochs" if unit == "epoch" else "max_iters", 0)
    if done < end:
        return []
    return [
        f"The training of {resume.name} has ended already, with {unit} {done} of {end}: nothing is left to "
        f"train. Train for longer with --epochs."
    ]


def _classes(runner: Runner) -> tuple[str, ...]:
    meta: dict[str, Any] = getattr(runner.train_dataloader.dataset, "metainfo", None) or {}
    return tuple(meta.get("classes", ()))
