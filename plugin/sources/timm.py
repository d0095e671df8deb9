"""Networks of timm: the full model, read through its ``forward_intermediates``.

``features_only=True`` would rename modules (``features_0``); the full model keeps timm's names.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError, nearest
from .exporting import is_exporting

#: What a timm module needs so that its nets take any input size, or stay small. Keyed by the
#: name of timm's module, as ``timm.models.model_entrypoint(...).__module__`` ends.
_DYNAMIC: dict[str, Any] = {"dynamic_img_size": True}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "deit": _DYNAMIC,
    "eva": _DYNAMIC,
    "swin_transformer": _DYNAMIC,
    "swin_transformer_v2": _DYNAMIC,
    "swin_transformer_v2_cr": _DYNAMIC,
    "vision_transformer": _DYNAMIC,
    "vision_transformer_hybrid": _DYNAMIC,
    "vgg": {"mlp_ratio": 1 / 4096},  # fc6 and fc7 are cut anyway: do not fill 480 MB first
}


#: Modules of timm whose nets read beyond the end of a table, and fail, at sizes that they were not built
#: for. On the meta device this does not show.
READ_BEYOND = ("mvitv2",)
_BIASES = ("relative_position_bias_table", "rel_pos_")  # of BEiT; of SAM


#: How a constructor calls the size of the image for which it builds a network.
SIZE_ARGUMENT = "img_size"


def free_by_flag(upstream: str) -> bool:
    """Whether a flag in :data:`ARGUMENTS` makes the network take any size."""
    return "dynamic_img_size" in ARGUMENTS.get(module_of(upstream.split(".")[0]), {})


def module_of(name: str) -> str:
    """The name of timm's module that holds the model ``name`` (without tag)."""
    import timm

    return timm.models.model_entrypoint(name).__module__.rsplit(".", 1)[-1]


def build_sized(upstream: str, arguments: dict[str, Any], size: tuple[int, int]) -> nn.Module:
    """timm's model for images of ``size``, height and width in pixels."""
    import timm

    base = upstream.split(".")[0]
    arguments = {**ARGUMENTS.get(module_of(base), {}), **arguments, "img_size": size}
    return timm.create_model(base, num_classes=0, **arguments)


def refit(
    upstream: str, in_channels: int, arguments: dict[str, Any], state: dict[str, Tensor]
) -> dict[str, Tensor]:
    """``state`` through timm's own filter of that model: position tables resampled, authors' names mapped.

    Where timm has no filter, or that cannot read the file, it is ``state`` itself: what then does not fit
    is said by who loads it.
    """
    import timm

    base = upstream.split(".")[0]
    module = sys.modules[timm.models.model_entrypoint(base).__module__]
    adapt = getattr(module, "checkpoint_filter_fn", None)
    if adapt is None:
        return state
    with torch.device("meta"):  # the filter asks the model for names and sizes only
        model = timm.create_model(
            base, in_chans=in_channels, **{**ARGUMENTS.get(module_of(base), {}), **arguments}
        )
    try:
        adapted = adapt(dict(state), model)
    except Exception:  # each of timm's filters fails in its own way at a file of another network
        return state
    return {name: value for name, value in adapted.items() if isinstance(value, Tensor) and not value.is_meta}


def native_size(upstream: str, arguments: dict[str, Any]) -> tuple[int, int]:
    """The size for which timm builds the model, if it builds it for one."""
    import timm

    given = arguments.get("img_size")
    if given is None:
        given = timm.get_pretrained_cfg(upstream.split(".")[0]).input_size[-2:]
    return (given, given) if isinstance(given, int) else (given[0], given[1])


class TimmNet:
    """See :class:`mmbackbones.sources.FeatureNet`.

    Attributes:
        reductions: What timm reports as the stride of each tap.
        widths: Channels of each tap, as timm reports them.
    """

    def __init__(self, name: str, in_channels: int, net_kwargs: dict[str, Any]) -> None:
        import timm

        base = name.split(".")[0]
        if not timm.is_model(base):
            near = nearest(base, timm.list_models())
            raise InputError(f"timm has no model '{name}'. Nearest: {', '.join(near) or 'none'}.")
        arguments = {**ARGUMENTS.get(module_of(base), {}), **net_kwargs}
        try:
            self.net = timm.create_model(base, in_chans=in_channels, num_classes=0, **arguments)
        except TypeError as error:
            raise InputError(f"timm's '{base}' refuses net_kwargs={net_kwargs}: {error}") from error
        if not hasattr(self.net, "forward_intermediates"):
            raise InputError(f"timm's '{base}' has no forward_intermediates, so its maps cannot be read.")
        infos = list(self.net.feature_info)
        self.taps = len(infos)
        self.reductions = tuple(info["reduction"] for info in infos)
        self.widths = tuple(info["num_chs"] for info in infos)
        names = self.net.default_cfg.get("classifier") or ()
        self.classifier = (names,) if isinstance(names, str) else tuple(names)

    def run(self, x: Tensor, taps: Sequence[int]) -> list[Tensor]:
        """See :class:`mmbackbones.sources.FeatureNet`."""
        with _unfused(self.net) if is_exporting() else nullcontext():
            return self._maps(x, taps)

    def _maps(self, x: Tensor, taps: Sequence[int]) -> list[Tensor]:
        return self.net.forward_intermediates(
            x, indices=list(taps), stop_early=True, output_fmt="NCHW", intermediates_only=True
        )


@contextmanager
def _unfused(net: nn.Module) -> Iterator[None]:
    """Attention with position biases written out: torch 2.15 cannot export the fused one with a mask."""
    biased = (m for m in net.modules() if any(name.startswith(_BIASES) for name in m._parameters))
    fused = [module for module in biased if getattr(module, "fused_attn", False)]
    for module in fused:
        module.fused_attn = False  # type: ignore[assignment]
    try:
        yield
    finally:
        for module in fused:
            module.fused_attn = True  # type: ignore[assignment]
