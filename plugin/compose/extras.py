"""Options of a training beside its schedule, as entries of the config: hooks, loaders, logs, balance."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from mmengine.config import Config

from ..errors import InputError, did_you_mean
from .configs import kind, walk

#: What ``--log`` takes: mmengine's back end, and the package that it needs.
LOGS = {
    "tensorboard": ("TensorboardVisBackend", "tensorboard"),
    "wandb": ("WandbVisBackend", "wandb"),
    "mlflow": ("MLflowVisBackend", "mlflow"),
}
_WEIGHED = ("CrossEntropyLoss", "WeightedCrossEntropyLoss")
_LARGEST_WEIGHT = 10.0  # of a class, so that one that is next to never seen does not rule the loss


def stop_early(cfg: Config, evaluations: int, figure: str) -> str:
    """End the training when ``figure`` has not risen in so many evaluations; returns a note.

    Raises:
        InputError: fewer than 1, or the config evaluates nothing.
    """
    if evaluations < 1:
        raise InputError(f"--early-stop {evaluations}: wait for at least 1 evaluation.")
    if not cfg.get("val_dataloader"):
        raise InputError(f"--early-stop {evaluations}: the config has no val_dataloader.")
    if figure == "auto":
        raise InputError(
            f"--early-stop {evaluations}: the main figure of the config's val_evaluator is not known. "
            f"Name it: --cfg-options \"custom_hooks=[{{'type': 'EarlyStoppingHook', 'monitor': ...}}]\"."
        )
    hook = {"type": "mmbackbones.EarlyStopHook", "monitor": figure, "rule": "greater", "min_delta": 1e-6}
    _add_hook(cfg, {**hook, "patience": evaluations}, "EarlyStoppingHook")
    return f"stops when {figure} has not risen in {evaluations} evaluations"


def average_weights(cfg: Config) -> str:
    """Evaluate and save a moving average of the weights, by mmengine's ``EMAHook``; returns a note."""
    if any(kind(hook) == "EMAHook" for hook in cfg.get("custom_hooks") or []):
        return "the moving average of the weights is the config's own"
    # mmdet's own warms up; mmseg has none, and mmengine's that does
    average = "ExpMomentumEMA" if cfg.get("default_scope") == "mmdet" else "MomentumAnnealingEMA"
    hook = {"type": "EMAHook", "ema_type": average, "momentum": 0.0002, "update_buffers": True}
    _add_hook(cfg, hook)
    return "a moving average of the weights is evaluated and saved"


def save_every(cfg: Config, minutes: float) -> str:
    """Write a checkpoint to go on from every so many minutes; returns a note.

    Raises:
        InputError: not above 0.
    """
    if not minutes > 0:
        raise InputError(f"--save-every {minutes:g}: minutes must be above 0.")
    _add_hook(cfg, {"type": "mmbackbones.SaveEveryHook", "minutes": float(minutes)})
    return f"a checkpoint to go on from is written every {minutes:g} minutes"


def _add_hook(cfg: Config, hook: dict[str, Any], *same: str) -> None:
    """Put ``hook`` into the config, in the place of one of its kind or of those in ``same``."""
    others = [one for one in cfg.get("custom_hooks") or [] if kind(one) not in (kind(hook), *same)]
    cfg.custom_hooks = [*others, hook]


def set_workers(cfg: Config, workers: int) -> None:
    """Load all data with so many processes beside the main one.

    Raises:
        InputError: fewer than 0.
    """
    if workers < 0:
        raise InputError(f"--workers {workers}: 0 loads in the main process, more in processes beside it.")
    for part in ("train", "val", "test"):
        if loader := cfg.get(f"{part}_dataloader"):
            loader.num_workers, loader.persistent_workers = workers, workers > 0


def make_deterministic(cfg: Config) -> str:
    """Let torch take the same way in each run on one machine, where it has one; returns a note."""
    given = cfg.get("randomness") or {}
    seed = given.get("seed")
    cfg.randomness = {**given, "seed": 0 if seed is None else seed, "deterministic": True}
    cfg.setdefault("env_cfg", {})["cudnn_benchmark"] = False
    return f"deterministic algorithms, seed {cfg.randomness['seed']}"


def parse_logs(given: str | None) -> tuple[str, ...]:
    """``tensorboard,wandb`` as a tuple.

    Raises:
        InputError: an unknown name, or its package is not installed.
    """
    names = tuple(dict.fromkeys(name.strip() for name in (given or "").split(",") if name.strip()))
    if given is not None and not names:
        raise InputError(f"--log '{given}' names nothing. Known: {', '.join(LOGS)}.")
    for name in names:
        if name not in LOGS:
            hint = did_you_mean(name, LOGS)
            raise InputError(f"--log {name} is unknown.{hint} Known: {', '.join(LOGS)}.")
        if find_spec(LOGS[name][1]) is None:
            raise InputError(
                f"--log {name} needs the package {LOGS[name][1]}: `pip install {LOGS[name][1]}`."
            )
    return names


def add_logs(cfg: Config, names: Sequence[str]) -> None:
    """Send scalars and the config to the back ends of :data:`LOGS` too."""
    visualizer = cfg.setdefault("visualizer", {"type": "Visualizer"})
    backends = visualizer.setdefault("vis_backends", [])
    there = {kind(backend) for backend in backends}
    backends += [{"type": LOGS[name][0]} for name in names if LOGS[name][0] not in there]


def weigh_classes(cfg: Config, classes: Sequence[str], frequencies: Sequence[float]) -> str:
    """Weigh a segmenter's classes by median frequency (arXiv 1411.4734) in its cross entropy; returns a note.

    Args:
        cfg: changed in place.
        classes: names.
        frequencies: of each class: its share of the pixels of the training images that hold it.

    Raises:
        InputError: the model has no loss that takes weights.
    """
    weights = [round(min(_LARGEST_WEIGHT, factor), 4) for factor in _factors(frequencies)]
    losses = [
        node
        for key in ("decode_head", "auxiliary_head")
        for name, node in walk(cfg.model.get(key) or {}, key)
        if name == "loss_decode" and kind(node) in _WEIGHED and not node.get("use_sigmoid")
    ]
    if not losses:
        raise InputError(
            "--class-balance: the model has no CrossEntropyLoss over the classes in its decode_head, "
            "so there is nothing to weigh. Leave it out."
        )
    for loss in losses:
        loss.update(type="mmbackbones.WeightedCrossEntropyLoss", class_weight=weights)
    pairs = ", ".join(f"{name} {weight:g}" for name, weight in zip(classes, weights, strict=True))
    return f"classes are weighed by median frequency: {pairs}"


def threshold_of(frequencies: Sequence[float]) -> float:
    """The share of images below which a class's images are repeated: the median of those that occur."""
    known = sorted(value for value in frequencies if value)
    return known[len(known) // 2] if known else 1.0


def _factors(frequencies: Sequence[float]) -> list[float]:
    median = threshold_of(frequencies)
    return [median / value if value else 1.0 for value in frequencies]
