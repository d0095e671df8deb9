"""Testing a checkpoint on a data set."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config
from rich.console import Console

from ..compose.configs import task_of
from ..errors import InputError
from ..weights.checkpoints import load_model
from . import report
from .explained import errors_explained
from .hooks import ProgressHook
from .layout import fold_norms
from .runner import Runner, build_runner, library_output_to_log


def runner_for_test(cfg: Config, checkpoint: Path, work_dir: Path) -> Runner:
    """A runner that only tests, with the weights of ``checkpoint``; ``cfg`` loses its training parts.

    Raises:
        InputError: the config has no test parts, or the checkpoint does not fit.
    """
    for key in ("test_dataloader", "test_evaluator", "test_cfg"):
        if not cfg.get(key):
            raise InputError(f"The config has no {key}, so there is nothing to test on; give --data.")
    for key in ("train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler", "auto_scale_lr"):
        cfg.pop(key, None)
    for key in ("val_dataloader", "val_cfg", "val_evaluator"):
        cfg.pop(key, None)
    cfg.work_dir, cfg.resume, cfg.load_from = str(work_dir), False, None
    runner = build_runner(cfg)
    load_model(runner.network, checkpoint)
    return runner


def evaluate(
    cfg: Config, checkpoint: Path, work_dir: Path, *, console: Console
) -> tuple[report.Figures, Path]:
    """Evaluate ``checkpoint`` on the config's test data; returns the figures and the JSON they are in.

    Raises:
        InputError: the config has no test parts, its data is missing, or the checkpoint does not fit.
    """
    runner = runner_for_test(cfg, checkpoint, work_dir)
    fold_norms(runner.network)  # of several processes too: mmengine tests what their wrapper holds
    progress = ProgressHook(console)
    runner.register_hook(progress)
    try:
        with library_output_to_log(), errors_explained():
            metrics = report.numbers(runner.test())
    except FileNotFoundError as error:
        raise InputError(
            f"A file of the data is missing: {error}. Give your own data with --data."
        ) from error
    finally:
        progress.close()
    path = work_dir / "test_metrics.json"
    if runner.rank == 0:
        report.write_json(path, {"task": task_of(cfg), "checkpoint": str(checkpoint), "metrics": metrics})
    return metrics, path
