"""The names of the open set, and the verdict on one of them."""

from __future__ import annotations

import math
from typing import Any

SMALL, LARGE = (64, 64), (333, 517)
FREE, BOUND, NO, BROKEN = "any size", "up to its size", "refused", "broken"


def names() -> dict[str, str]:
    """Every name of the open set, with its family: timm's module or torchvision's class."""
    import timm
    from torchvision import models

    found = {
        f"timm:{n}": timm.models.model_entrypoint(n).__module__.split(".")[-1] for n in timm.list_models()
    }
    for name in models.list_models(module=models):
        module = models.get_model_builder(name).__module__
        found[f"torchvision:{name}"] = module.split(".")[-1]
    return found


def versions() -> dict[str, str]:
    """What the table was made with."""
    from importlib.metadata import version

    return {name: version(name) for name in ("timm", "torchvision", "torch")}


def check(name: str) -> dict[str, Any]:
    """Verdict on one network: how it takes sizes, its strides, or why it is refused."""
    import mmbackbones
    from mmbackbones import InputError
    from mmbackbones.taps.sizes import SizedNet

    try:
        spec = mmbackbones.get_spec(name)
        net = mmbackbones.build(name).eval()
    except InputError as error:
        return {"verdict": NO, "reason": str(error)}
    strides = tuple(stride for stride in spec.strides if stride in (4, 8, 16, 32))
    facts = {"strides": spec.strides}
    if net.out_strides != strides or net.out_channels != tuple(spec.channels[s] for s in strides):
        return {
            "verdict": BROKEN,
            "reason": f"{net.out_strides} {net.out_channels} against {spec.channels}",
        }
    feature_net = getattr(net._feature_net, "inner", net._feature_net)
    sized = next((t for t in (net._feature_net, feature_net) if isinstance(t, SizedNet)), None)
    bound = sized.plan.bound if sized else None
    reason = _wrong_maps(net, bound or LARGE) or _wrong_selection(name, spec)
    if reason:
        return {"verdict": BROKEN, "reason": reason, **facts}
    if bound:
        return {"verdict": BOUND, "reason": f"{bound[0]}x{bound[1]}", **facts}
    return {"verdict": FREE, "reason": _mended(sized), **facts}


def _mended(sized: Any) -> str:
    """What made a network take any size."""
    if sized is None:
        return ""
    if not sized.plan.resized:
        return f"padded to multiples of {sized.plan.multiple}"
    square = {"no": "", "tables": ", built for squares", "image": ", padded to squares"}[sized.plan.square]
    return f"built anew for each multiple of {sized.plan.multiple}{square}"


def _wrong_maps(net: Any, size: tuple[int, int]) -> str:
    import torch

    device = next(net.parameters()).device
    with torch.no_grad():
        maps = net(torch.empty(1, 3, *size, device=device))
    for fmap, stride, channels in zip(maps, net.out_strides, net.out_channels, strict=True):
        expected = (1, channels, math.ceil(size[0] / stride), math.ceil(size[1] / stride))
        if tuple(fmap.shape) != expected:
            return f"stride {stride} at {size[0]}x{size[1]}: {tuple(fmap.shape)} and not {expected}"
    return ""


def _wrong_selection(name: str, spec: Any) -> str:
    """Point 4, on the finest stride and on one that the network lacks."""
    import mmbackbones

    some = next(stride for stride in spec.strides if stride in (4, 8, 16, 32))
    net = mmbackbones.build(name, out_strides=(some,)).eval()
    if (net.out_strides, net.out_channels) != ((some,), (spec.channels[some],)):
        return f"out_strides=({some},) gives {net.out_strides} {net.out_channels}"
    wrong = _wrong_maps(net, SMALL)
    if wrong:
        return wrong
    lacks = max(spec.strides) * 2
    try:
        mmbackbones.build(name, out_strides=(lacks,))
    except mmbackbones.InputError:
        return ""
    return f"out_strides=({lacks},) is not refused"
