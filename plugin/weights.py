"""Pretrained weights: where they come from, how they are fitted, and what is said about it.

A load never is a silent no-op: it reports matched, missing and unexpected names and is an error when
shapes differ or too little matches.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .errors import InputError

#: The least share of the names, of the network's and of the file's, that must match.
LEAST_MATCH = 0.75
#: What upstreams call the layers that only a classifier has.
CLASSIFIERS = ("fc", "classifier", "head")
_SHOWN = 5


@dataclass(frozen=True)
class LoadReport:
    """What a load did, by parameter and buffer names.

    Attributes:
        matched: Loaded.
        missing: In the network and not in the file: these keep their fresh values.
        unexpected: In the file and unknown to the network.
        ignored: In the file, and of the classifier or of a part that this backbone does not need.
        adapted: Loaded after a change of the number of input channels.
        fresh: Not in the file, and not to be expected there: layers that were added here.
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    ignored: tuple[str, ...]
    adapted: tuple[str, ...]
    fresh: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [f"{len(self.matched)} tensors loaded"]
        for what in ("adapted", "missing", "unexpected", "ignored", "fresh"):
            names = getattr(self, what)
            if names:
                parts.append(f"{what}: {_some(names)}")
        return "; ".join(parts)


def _some(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def read(checkpoint: str) -> dict[str, Tensor]:
    """The state dict behind ``timm://name.tag``, ``torchvision://name.TAG``, ``http(s)://`` or a file.

    Files may be ``.pth`` (a state dict, or one under ``state_dict`` or ``model``) or ``.safetensors``.

    Raises:
        InputError: unknown scheme, no such file, or not a file of tensors.
    """
    scheme, separator, rest = checkpoint.partition("://")
    if not separator:
        return _read_file(checkpoint)
    if scheme == "timm":
        import timm

        return timm.create_model(rest, pretrained=True).state_dict()
    if scheme == "torchvision":
        return _read_torchvision(rest)
    if scheme in ("http", "https"):
        return _unwrap(torch.hub.load_state_dict_from_url(checkpoint, map_location="cpu", weights_only=True))
    raise InputError(
        f"checkpoint '{checkpoint}': unknown scheme '{scheme}://'. "
        f"Allowed: timm://, torchvision://, http://, https://, or a file's path."
    )


def _read_torchvision(name: str) -> dict[str, Tensor]:
    """``resnet50`` or ``resnet50.IMAGENET1K_V2``; without a tag V1, as mmengine has it."""
    from torchvision import models

    model, _, tag = name.partition(".")
    try:
        entries = models.get_model_weights(model)
        entry = entries[tag or "IMAGENET1K_V1"]
    except (ValueError, KeyError) as error:
        raise InputError(
            f"torchvision has no weights '{name}'. Write torchvision://<model>[.<tag>], "
            f"e.g. torchvision://resnet50.IMAGENET1K_V2."
        ) from error
    return dict(entry.get_state_dict(check_hash=True))


def _read_file(path: str) -> dict[str, Tensor]:
    if not Path(path).is_file():
        raise InputError(
            f"checkpoint '{path}' is not a file. Give a path that exists, or timm://<name>.<tag>."
        )
    if path.endswith(".safetensors"):
        from safetensors.torch import load_file

        return load_file(path)
    from .engine.checkpoints import allow_mmengine_classes

    allow_mmengine_classes()
    try:
        return _unwrap(torch.load(path, map_location="cpu", weights_only=True))
    except InputError:
        raise
    except Exception as error:  # torch raises pickle, zip, EOF and runtime errors for a broken file
        raise InputError(f"checkpoint '{path}' cannot be read as a file of weights: {error}") from error


def _unwrap(content: Any) -> dict[str, Tensor]:
    """The state dict inside a checkpoint of torch, timm, mmengine or torchvision."""
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    state = (
        {k: v for k, v in content.items() if isinstance(v, Tensor)} if isinstance(content, Mapping) else {}
    )
    if not state:
        raise InputError("the checkpoint holds no tensors under 'state_dict', 'model' or at its top.")
    return state


def _upstream_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Strip ``module.``; of a detector keep what stands behind ``backbone.``; old DenseNet names."""
    plain = {name.removeprefix("module."): value for name, value in state.items()}
    inside = {name[9:]: value for name, value in plain.items() if name.startswith("backbone.")}
    old = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.(\d)\.")  # torchvision before 0.3: norm.1.weight
    return {old.sub(r"\1\2.", name): value for name, value in (inside or plain).items()}


def load_into(
    net: nn.Module,
    state: Mapping[str, Tensor],
    *,
    known: frozenset[str] = frozenset(),
    classifier: tuple[str, ...] = (),
    fresh: tuple[str, ...] = (),
    what: str = "checkpoint",
) -> LoadReport:
    """Fit ``state`` into ``net`` and say how it went.

    Args:
        net: The backbone.
        state: Tensors by upstream names, with or without ``module.`` or ``backbone.`` before them.
        known: Names that the whole upstream network has; those not in ``net`` are ignored.
        classifier: Prefixes of names that are ignored likewise, next to :data:`CLASSIFIERS`; those in
            ``net``, auxiliary classifiers, are loaded where their shapes fit.
        fresh: Prefixes of names that no upstream's file need have: layers that were added here.
        what: How messages call the source.

    Raises:
        InputError: shapes differ, or less than three quarters of the names match. ``net`` is
            unchanged then.
    """
    given = _upstream_names(state)
    own = net.state_dict()
    heads = tuple(f"{head}." for head in (*CLASSIFIERS, *classifier))
    added = tuple(f"{prefix}." for prefix in fresh)
    matched, adapted, wrong = {}, [], []
    for name in own.keys() & given.keys():
        value = given[name]
        if value.shape != own[name].shape:
            if name.startswith(heads):  # an auxiliary classifier of other classes
                continue
            fitted = _fit_input(value, own[name])
            if fitted is None:
                wrong.append(f"{name} is {tuple(value.shape)}, needs {tuple(own[name].shape)}")
                continue
            value = fitted
            adapted.append(name)
        matched[name] = value
    left = given.keys() - own.keys()
    ignored = {name for name in left if name in known or name.startswith(heads)}
    absent = [name for name in own if name not in matched and not name.endswith("num_batches_tracked")]
    missing = [name for name in absent if not name.startswith(added)]
    unexpected = sorted(left - ignored)
    report = LoadReport(
        matched=tuple(name for name in own if name in matched),
        missing=tuple(missing),
        unexpected=tuple(unexpected),
        ignored=tuple(sorted(ignored)),
        adapted=tuple(sorted(adapted)),
        fresh=tuple(name for name in absent if name.startswith(added)),
    )
    if wrong:
        raise InputError(f"{what} does not fit: {_some(sorted(wrong))}. Is it a file of this backbone?")
    share = len(matched) / max(1, len(matched) + max(len(missing), len(unexpected)))
    if share < LEAST_MATCH:
        raise InputError(
            f"{what} does not fit: only {share:.0%} of the names match ({report}). "
            f"At least {LEAST_MATCH:.0%} must. Is it a file of this backbone?"
        )
    net.load_state_dict(matched, strict=False)
    return report


def _fit_input(value: Tensor, own: Tensor) -> Tensor | None:
    """A first convolution's weight for another number of input channels; None if that is not it.

    One channel gets the sum over RGB (a grey image has R = G = B); others repeat RGB, scaled so that
    a constant image gives what it gave before.
    """
    spatial = value.ndim == 4 and own.ndim == 4 and value.shape[2:] == own.shape[2:]
    if not spatial or value.shape[0] != own.shape[0] or value.shape[1] != 3:
        return None
    channels = own.shape[1]
    if channels == 1:
        return value.sum(dim=1, keepdim=True)
    repeats = -(-channels // 3)
    return value.repeat(1, repeats, 1, 1)[:, :channels] * (3 / channels)


def log_report(report: LoadReport, what: str) -> None:
    """One log line; a warning when names were missing or unexpected."""
    from mmengine.logging import print_log

    level = logging.WARNING if report.missing or report.unexpected else logging.INFO
    print_log(f"{what}: {report}", logger="current", level=level)
