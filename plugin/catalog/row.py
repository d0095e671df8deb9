"""How one row of the catalog becomes a :class:`~mmbackbones.catalog.spec.Spec`, and a Spec a row."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from typing import Any

from .spec import IMAGENET_MEAN, IMAGENET_STD, MeanStd, Spec

#: Input of weights that came from TensorFlow.
HALF: dict[str, Any] = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}

#: Inputs of weights that differ from their row's, for ``inputs``.
IMAGENET: MeanStd = (IMAGENET_MEAN, IMAGENET_STD)
HALVES: MeanStd = (HALF["mean"], HALF["std"])
CLIP: MeanStd = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
RAW: MeanStd = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
SATELLITE: MeanStd = ((0.43, 0.411, 0.296), (0.213, 0.156, 0.143))


def row(
    name: str,
    family: str,
    channels: Sequence[int],
    params: int,
    gflops: float,
    paper: str,
    year: int,
    *,
    kind: str = "cnn",
    source: str = "timm",
    upstream: str = "",
    first_stride: int = 2,
    has_se: bool = False,
    dilatable: bool = True,
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
    timm: str = "",
    torchvision: str = "",
    inputs: dict[str, MeanStd] | None = None,
    aliases: str = "",
    arguments: dict[str, Any] | None = None,
) -> Spec:
    """One backbone.

    Args:
        name: The catalog's name.
        family: Its family.
        channels: Of each map, by doubling stride.
        params: Trainable parameters to the coarsest map.
        gflops: Billions of multiply-adds to the coarsest map at 224 x 224, four digits.
        paper: arXiv id, or DOI.
        year: Of the paper.
        kind: ``cnn``, ``transformer`` or ``hybrid``.
        source: ``timm``, ``torchvision`` or ``native``.
        upstream: The source's name where it is another, for timm perhaps with the tag of the default
            weights; for native nets ``<file>.<function>``.
        first_stride: Stride of the first map.
        has_se: Whether any block has a squeeze-and-excitation gate.
        dilatable: Whether ``output_stride`` works.
        mean: Input mean of the default weights, RGB in 0..1.
        std: Likewise.
        timm: Tags of timm's weights that fit the parameter names, the default first.
        torchvision: Tags of torchvision's.
        inputs: Tags whose weights take another mean and std than the default's, with these.
        aliases: Short names.
        arguments: For the upstream's constructor.
    """
    upstream = upstream or name
    weights = [f"timm://{upstream.partition('.')[0]}.{tag}" for tag in timm.split()]
    weights += [f"torchvision://{upstream}.{tag}" for tag in torchvision.split()]
    own = {tag: mean_std for tags, mean_std in (inputs or {}).items() for tag in tags.split()}
    return Spec(
        name=name,
        source=source,
        upstream=upstream,
        family=family,
        channels={first_stride << index: width for index, width in enumerate(channels)},
        has_se=has_se,
        dilatable=dilatable,
        mean=mean,
        std=std,
        weights=tuple(weights),
        inputs={name: own[name.partition(".")[2]] for name in weights if name.partition(".")[2] in own},
        params=params,
        gflops=gflops,
        kind=kind,
        paper=paper,
        year=year,
        aliases=tuple(aliases.split()),
        arguments=dict(arguments or {}),
    )


def as_row(spec: Spec) -> str:
    """The row of the catalog that gives ``spec``, to paste into one of its files."""
    own = {
        source: " ".join(
            weights.partition(".")[2] for weights in spec.weights if weights.startswith(f"{source}://")
        )
        for source in ("timm", "torchvision")
    }
    inputs: dict[MeanStd, list[str]] = {}
    for weights, mean_std in spec.inputs.items():
        inputs.setdefault(mean_std, []).append(weights.partition(".")[2])
    options: dict[str, tuple[Any, Any]] = {  # value and default
        "kind": (spec.kind, "cnn"),
        "source": (spec.source, "timm"),
        "upstream": (spec.upstream, spec.name),
        "first_stride": (spec.strides[0], 2),
        "has_se": (spec.has_se, False),
        "dilatable": (spec.dilatable, True),
        "mean": (spec.mean, IMAGENET_MEAN),
        "std": (spec.std, IMAGENET_STD),
        "timm": (own["timm"], ""),
        "torchvision": (own["torchvision"], ""),
        "inputs": ({" ".join(tags): mean_std for mean_std, tags in inputs.items()}, {}),
        "aliases": (" ".join(spec.aliases), ""),
        "arguments": (spec.arguments, {}),
    }
    channels = tuple(spec.channels.values())
    words = [_source(spec.name), _source(spec.family), repr(channels), f"{spec.params:_}", repr(spec.gflops)]
    words += [_source(spec.paper), str(spec.year)]
    words += [f"{key}={_source(value)}" for key, (value, default) in options.items() if value != default]
    text = ", ".join(word.replace(" ", "\0") for word in words)  # break between arguments only
    wrapped = textwrap.fill(
        f"row({text}),",
        width=110,
        initial_indent=" " * 4,
        subsequent_indent=" " * 8,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return wrapped.replace("\0", " ")


def _source(value: Any) -> str:
    return json.dumps(value) if isinstance(value, str) else repr(value)
