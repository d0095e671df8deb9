"""What must stand at the places of a config that a training reads: said before anything is read there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from mmengine.config import Config

from ..errors import InputError


def _whole(value: Any) -> bool:
    """Of floats those that count too: mmdet's configs divide to get an interval."""
    return not isinstance(value, bool) and (
        isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    )


def _dicts(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(one, Mapping) for one in value)


#: What a value can be, in the words that the user reads.
_KINDS: dict[str, Callable[[Any], bool]] = {
    "a dict": lambda value: isinstance(value, Mapping),
    "a list of dicts": _dicts,
    "a dict or a list of dicts": lambda value: isinstance(value, Mapping) or _dicts(value),
    "a whole number": _whole,
    "a whole number from 0 on": lambda value: _whole(value) and value >= 0,
    "a whole number from 1 on": lambda value: _whole(value) and value >= 1,
    "a number": lambda value: isinstance(value, (int, float)) and isfinite(value),
    "a path or URL": lambda value: isinstance(value, str),
}


@dataclass(frozen=True)
class _Place:
    """A dotted key, where ``*`` is any; what stands there; an example; whether None may stand there too."""

    key: str
    what: str
    example: str
    optional: bool = False


PLACES = (
    _Place("model", "a dict", "model.backbone.frozen_stages=1"),
    _Place("model.backbone", "a dict", "model.backbone.frozen_stages=1"),
    _Place("model.data_preprocessor", "a dict", "model.data_preprocessor.pad_size_divisor=32", True),
    _Place("model.train_cfg", "a dict", "model.train_cfg.rpn_proposal.nms_pre=1000", True),
    _Place("model.test_cfg", "a dict", "model.test_cfg.rcnn.score_thr=0.1", True),
    _Place("train_cfg", "a dict", "train_cfg.val_interval=2"),
    *(
        _Place(f"train_cfg.{name}", "a whole number from 1 on", f"train_cfg.{name}=12")
        for name in ("max_epochs", "max_iters", "val_interval")
    ),
    *(_Place(f"{part}_cfg", "a dict", f"{part}_cfg.type=...", True) for part in ("val", "test")),
    _Place("optim_wrapper", "a dict", "optim_wrapper.optimizer.lr=0.01"),
    _Place("optim_wrapper.optimizer", "a dict", "optim_wrapper.optimizer.lr=0.01"),
    _Place("optim_wrapper.optimizer.lr", "a number", "optim_wrapper.optimizer.lr=0.01"),
    _Place(
        "param_scheduler",
        "a dict or a list of dicts",
        "param_scheduler=\"[{'type': 'ConstantLR', 'factor': 1}]\"",
        True,
    ),
    *(
        place
        for part in ("train", "val", "test")
        for place in (
            _Place(f"{part}_dataloader", "a dict", f"{part}_dataloader.batch_size=2", part != "train"),
            _Place(f"{part}_dataloader.dataset", "a dict", f"{part}_dataloader.dataset.data_root=DIR"),
            _Place(
                f"{part}_dataloader.dataset.pipeline",
                "a list of dicts",
                f"{part}_dataloader.dataset.pipeline=\"[{{'type': 'LoadImageFromFile'}}, ...]\"",
            ),
            _Place(f"{part}_dataloader.sampler", "a dict", f"{part}_dataloader.sampler.shuffle=False", True),
            _Place(
                f"{part}_dataloader.batch_size", "a whole number from 1 on", f"{part}_dataloader.batch_size=2"
            ),
            _Place(
                f"{part}_dataloader.num_workers",
                "a whole number from 0 on",
                f"{part}_dataloader.num_workers=2",
            ),
        )
    ),
    *(
        _Place(f"{part}_evaluator", "a dict or a list of dicts", f"{part}_evaluator.prefix=mine", True)
        for part in ("val", "test")
    ),
    _Place("default_hooks", "a dict", "default_hooks.checkpoint.interval=2"),
    # The results are read from what these two write.
    _Place("default_hooks.checkpoint", "a dict", "default_hooks.checkpoint.interval=2"),
    _Place("default_hooks.logger", "a dict", "default_hooks.logger.interval=10"),
    _Place("default_hooks.*", "a dict", "default_hooks.checkpoint.interval=2", True),
    _Place("default_hooks.checkpoint.interval", "a whole number", "default_hooks.checkpoint.interval=2"),
    _Place("default_hooks.logger.interval", "a whole number from 1 on", "default_hooks.logger.interval=10"),
    _Place("custom_hooks", "a list of dicts", "custom_hooks=\"[{'type': 'EMAHook'}]\"", True),
    _Place("visualizer", "a dict", "visualizer.type=DetLocalVisualizer", True),
    _Place(
        "visualizer.vis_backends",
        "a list of dicts",
        "visualizer.vis_backends=\"[{'type': 'LocalVisBackend'}]\"",
        True,
    ),
    _Place("env_cfg", "a dict", "env_cfg.cudnn_benchmark=True"),
    _Place("randomness", "a dict", "randomness.seed=0"),
    _Place("log_processor", "a dict", "log_processor.window_size=50", True),
    _Place("auto_scale_lr", "a dict", "auto_scale_lr.base_batch_size=16", True),
    _Place(
        "auto_scale_lr.base_batch_size",
        "a whole number from 1 on",
        "auto_scale_lr.base_batch_size=16",
        True,
    ),
    _Place("load_from", "a path or URL", "load_from=weights.pth", True),
)


def check_places(cfg: Config, options: Mapping[str, Any], *, training: bool = True) -> None:
    """Check the values at the places of ``cfg`` that are read.

    Args:
        cfg: with ``options`` applied.
        options: what the user gave, by dotted key; the message names the one that set the value.
        training: False where the config need not have training parts.

    Raises:
        InputError: a value of another kind; the message says what is allowed, with an example.
    """
    values = cfg.to_dict()
    for place in PLACES:
        for key, value in _at(values, place.key.split("."), ""):
            absent = value is None and (place.optional or (not training and key.startswith("train_")))
            if absent or _KINDS[place.what](value):
                continue
            by = next((option for option in options if key == option or key.startswith(f"{option}.")), None)
            who = "The config" if by is None else f"--cfg-options {by}"
            allowed = f"{place.what} or None" if place.optional else place.what
            example = f"for example --cfg-options {place.example}"
            raise InputError(f"{who}: {key} is {value!r}, but must be {allowed}; {example}.")


def _at(node: Any, parts: list[str], way: str) -> Iterator[tuple[str, Any]]:
    """The values at a dotted key, each with the key that it has; none where there is no such key."""
    if not parts:
        yield way, node
    elif isinstance(node, Mapping):
        for name in list(node) if parts[0] == "*" else [parts[0]] if parts[0] in node else []:
            yield from _at(node[name], parts[1:], f"{way}.{name}" if way else name)
