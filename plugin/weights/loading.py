"""Pretrained weights of a backbone: which are meant, how they are fitted, and what is said about it.

A load never is a silent no-op: it reports matched, missing and unexpected names and is an error when
shapes differ or too little matches.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.logging import MMLogger, print_log
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from ..errors import InputError
from .files import read_checkpoint, state_dict_of
from .input_channels import fit_input
from .layers import NO_WEIGHT
from .openmmlab import Renamed, apart
from .strangers import OTHERS

_NEXT = "Name the backbone that the file is of, or take a file of this one."
#: The least share of the names, of the network's and of the file's, that must match.
LEAST_MATCH = 0.75
#: What upstreams call the layers that only a classifier has.
CLASSIFIERS = ("fc", "classifier", "head")
#: mmseg's segmentors hand this on from a base config: weights of mmcv's networks.
OPEN_MMLAB = "open-mmlab://"
#: Attribute of log records that the console shows although they are no errors.
FOR_THE_USER = "for_the_user"


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
                parts.append(f"{what}: {some(names)}")
        return "; ".join(parts)


def some(names: Iterable[str], shown: int = 5) -> str:
    """The first names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _upstream_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of a detector what stands behind ``backbone.``; old names as the upstream has them now."""
    old = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.(\d)\.")  # torchvision before 0.3: norm.1.weight
    return {old.sub(r"\1\2.", name): value for name, value in (_behind("backbone.", state) or state).items()}


def meant_for_another(pretrained: bool | str, name: str) -> bool:
    """Whether ``pretrained`` of the backbone ``name`` is left over from a base config; said in a warning."""
    if not str(pretrained).startswith(OPEN_MMLAB):
        return False
    print_log(
        f"pretrained='{pretrained}' stands in the base config, for its own backbone: not loaded. "
        f"{name} starts from its init_cfg, or from random weights without one. "
        f"`model = dict(pretrained=None, ...)` says so without this warning.",
        logger="current",
        level=logging.WARNING,
    )
    return True


def read_for(net: nn.Module, checkpoint: str, prefix: str) -> dict[str, Tensor]:
    """The tensors of a checkpoint, of those whose names begin with ``prefix`` if there is one, less it.

    Raises:
        InputError: it cannot be read, or is of a network of another style, see :func:`check_style`.
    """
    content = read_checkpoint(checkpoint)
    check_style(net, content, checkpoint)
    state = state_dict_of(content)
    state = _behind(prefix.rstrip(".") + ".", state) if prefix else state
    check_twin(state, checkpoint)
    return state


def _behind(start: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those tensors of ``state`` whose names begin with ``start``, less it."""
    return {name[len(start) :]: value for name, value in state.items() if name.startswith(start)}


def load_into(
    net: nn.Module,
    state: Mapping[str, Tensor],
    *,
    known: frozenset[str] = frozenset(),
    classifier: tuple[str, ...] = (),
    fresh: tuple[str, ...] = (),
    first: str = "",
    in_channels: int = 3,
    stages: Mapping[str, int] | None = None,
    rename: Callable[[dict[str, Tensor]], Renamed] | None = None,
    refit: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None,
    what: str = "checkpoint",
) -> LoadReport:
    """Fit ``state`` into ``net`` and say how it went.

    Args:
        net: The backbone.
        state: Tensors by upstream names, with or without ``backbone.`` before them.
        known: Names that the whole upstream network has; those not in ``net`` are ignored.
        classifier: Prefixes of names that are ignored likewise, next to :data:`CLASSIFIERS`.
        fresh: Prefixes of names that no upstream's file need have: layers that were added here.
        first: Path of the first convolution (or linear layer), without which the others mean nothing.
        in_channels: Channels of the image.
        stages: Of its parameters, 0 the stem, 1, 2, ...; a file must have something of each.
        rename: Reads another library's names of the network; tried where a name is missing.
        refit: Upstream's own adaptation of files, tried where names or shapes differ.
        what: How messages call the source.

    Raises:
        InputError: shapes differ, the first convolution or a whole stage is missing, or less than three
            quarters of the names match. ``net`` is unchanged then.
    """
    own = net.state_dict()
    given, beyond, reason = _upstream_names(state), dict[str, Tensor](), ""
    heads = tuple(f"{head}." for head in (*CLASSIFIERS, *classifier))
    added = tuple(f"{prefix}." for prefix in fresh)
    needed = [n for n in own if _is_needed(n) and not n.startswith(added)]
    if rename is not None and any(name not in given for name in needed):
        try:
            renamed = rename(given)
            given, beyond = renamed.named, renamed.beyond
        except InputError as error:  # it may still be one of upstream's own files
            reason = f"{error}. "
    odd = (name for name in needed if name not in given or given[name].shape != own[name].shape)
    if refit is not None and any(odd):
        given = refit(given)
    matched, adapted, wrong = {}, [], []
    for name in own.keys() & given.keys():
        value = given[name]
        if value.shape != own[name].shape:
            path, _, parameter = name.rpartition(".")
            conv = net.get_submodule(path) if parameter == "weight" else None
            fitted = fit_input(value, conv, in_channels, is_first=path == first) if conv else None
            if fitted is None:
                wrong.append(f"{name} is {tuple(value.shape)}, needs {tuple(own[name].shape)}")
                continue
            value = fitted
            adapted.append(name)
        matched[name] = value
    small = {name for name, value in beyond.items() if value.ndim < 2}  # a last norm or the like
    left = given.keys() - own.keys() | (beyond.keys() - small)
    ignored = {name for name in left if name in known or name.startswith(heads)} | small
    absent = [name for name in own if name not in matched and _is_needed(name)]
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
        raise InputError(f"{what} does not fit: {reason}Shapes differ: {some(sorted(wrong))}. {_NEXT}")
    share = len(matched) / max(1, len(matched) + max(len(missing), len(unexpected)))
    if share < LEAST_MATCH:
        more = [name for name in given if name in unexpected]
        reason = reason or f"The network and that of the file differ: {apart(missing, more)}. "
        raise InputError(
            f"{what} does not fit: {reason}Of the names {share:.0%} match, at least {LEAST_MATCH:.0%} must "
            f"({report}). {_NEXT}"
        )
    if f"{first}.weight" in missing:
        raise InputError(
            f"{what} does not fit: it has no {first}.weight, the first convolution, so what follows would "
            f"read noise ({report}). {_NEXT}"
        )
    _check_stages(missing, stages or {}, what)
    _check_depth(report, what)
    net.load_state_dict(matched, strict=False)
    return report


def _check_stages(missing: Iterable[str], stages: Mapping[str, int], what: str) -> None:
    """Refuse a file of a network with fewer stages: what a detector on C4 or a TridentNet has for backbone.

    Raises:
        InputError: of one stage all parameters are ``missing``.
    """
    absent = set(missing)
    there = {stage for name, stage in stages.items() if name not in absent}
    lacking = sorted(set(stages.values()) - there)
    if not lacking:
        return
    example = next(name for name in stages if stages[name] == lacking[0])
    maps = tuple(range(lacking[0] - 1))
    step = f"Take it for the maps before that, out_indices={maps}, or another" if maps else "Take another"
    raise InputError(
        f"{what} does not fit: it has nothing of stage {lacking[0]} of {max(stages.values())}, such as "
        f"{example}, which would start from random weights. {step} file."
    )


def _check_depth(report: LoadReport, what: str) -> None:
    """Refuse a file of a network with more blocks, of which most names fit (NFNet-F4's into F3).

    What a file lacks, starts from fresh values and is said; what it has more, changes what the others mean.
    Layers of a flat chain are in no block (``features.31.bias``): what SSD appends to VGG's changes nothing.

    Raises:
        InputError: the file has a layer more, whose like in other blocks is in both.
    """
    shared = {_of_any_block(name) for name in report.matched}
    more = [name for name in report.unexpected if _of_any_block(name) in shared and name.count(".") > 2]
    if more:
        raise InputError(
            f"{what} does not fit: The network and that of the file differ: {apart([], more)}. Is it a file "
            f"of this backbone?"
        )


def _of_any_block(name: str) -> str:
    """A name without the numbers of blocks in it."""
    return ".".join(part for part in name.split(".") if not part.isdigit())


def _is_needed(name: str) -> bool:
    """Whether a file must have it: no counter of batches, and nothing that follows from the window."""
    return not name.endswith("num_batches_tracked") and not NO_WEIGHT.search(name)


def first_layer(net: nn.Module, order: Iterable[str]) -> str:
    """Path of the first convolution or linear layer of ``net``, whose layers run in ``order``."""
    return next(path for path in order if isinstance(net.get_submodule(path), (_ConvNd, nn.Linear)))


def check_style(net: nn.Module, content: Mapping[str, Any], source: str) -> None:
    """Refuse a file whose names and shapes are ours and whose maps are not, as far as the file tells.

    That is a caffe-style file for a ResNet with the stride in its 3x3 (2 to 14 % off), a TridentNet's, and
    mmseg's HRNet, of which a file without a config is warned.

    Raises:
        InputError: the file's name or the config that OpenMMLab wrote into it says so.
    """
    meta = content.get("meta")
    said = str(meta.get("config") or meta.get("cfg") or "") if isinstance(meta, Mapping) else ""
    named = "caffe" in Path(source).name
    if any(map(_is_bottleneck, net.modules())) and (named or re.search(r"style.{0,4}caffe", said)):
        raise InputError(
            f"{source} is of a caffe-style ResNet, by its {'name' if named else 'config'}: "
            f"its stride is in the first 1x1 convolution of a block, here it is in the 3x3, so maps differ. "
            f"Take weights of timm or torchvision (`mmbackbones info resnet50`), or mmdet.ResNet with "
            f"style='caffe'."
        )
    if any(map(_is_bottleneck, net.modules())) and re.search(r"\bTridentResNet\b", said):
        raise InputError(
            f"{source} is of a TridentResNet, by its config: its third stage is dilated, here it is not, so "
            f"maps differ. Take weights of timm or torchvision (`mmbackbones info resnet50`), or "
            f"mmdet.TridentResNet."
        )
    fuses = any(name.endswith("fuse_layers") for name, _ in net.named_modules())
    segments = fuses and any(name.startswith("decode_head.") for name in state_dict_of(content, source))
    other = "it enlarges maps between its branches bilinearly, timm's and mmdet's take the nearest cell"
    if segments and re.search(r"type.{0,4}\bHRNet\b", said):
        raise InputError(
            f"{source} is of mmseg's HRNet, by its config: {other}, so maps differ by 10 %. Take timm's "
            f"weights, or mmseg.HRNet."
        )
    if segments and not said:
        warn_user(
            f"{source} is of a segmentor with an HRNet and has no config in it. If that is mmseg's HRNet, "
            f"the results are wrong: {other}, so maps differ by 10 %. Then take mmseg.HRNet."
        )


def check_twin(state: Mapping[str, Tensor], source: str | Path) -> None:
    """Refuse the weights of a network of :data:`OTHERS`.

    Raises:
        InputError: ``source`` is of one.
    """
    for names, reason, step in OTHERS:
        if names <= _upstream_names(state).keys():
            raise InputError(f"{source} is refused: {reason}. {step}.")


def _is_bottleneck(module: nn.Module) -> bool:
    convs = [getattr(module, f"conv{k}", None) for k in (1, 2, 3)]
    return [getattr(conv, "kernel_size", None) for conv in convs] == [(1, 1), (3, 3), (1, 1)]


def log_report(report: LoadReport, what: str) -> None:
    """One log line; a warning when names were missing or unexpected."""
    if report.missing or report.unexpected:
        warn_user(f"{what}: {report}")
    else:
        print_log(f"{what}: {report}", logger="current")


def warn_user(text: str) -> None:
    """Log a warning that goes to the console of a training too, where libraries' warnings do not."""
    MMLogger.get_current_instance().warning(text, extra={FOR_THE_USER: True})
