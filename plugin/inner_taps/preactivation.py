"""Backbones whose maps are read before the activation that makes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..backbone import Backbone
from ..errors import InputError
from ..feature_nets.steps import fixed_size
from ..registry import MODELS
from ..sources import FeatureNet
from ..taps.keep import KeepInput
from ..tracing.trace import EVEN_SIZES, meta_copy

ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.SiLU, nn.GELU, nn.Hardswish, nn.ELU, nn.Mish)


class _Before:
    """A network that gives some of its maps as they were before their last activation.

    See :class:`mmbackbones.sources.FeatureNet`.
    """

    def __init__(self, feature_net: FeatureNet, keeps: dict[int, KeepInput]) -> None:
        self.inner, self.net, self.keeps = feature_net, feature_net.net, keeps
        self.taps, self.classifier = feature_net.taps, feature_net.classifier

    def run(self, x: Tensor, taps: Sequence[int]) -> list[Tensor]:
        for tap in taps:
            if tap in self.keeps:
                self.keeps[tap].arm()
        maps = self.inner.run(x, taps)
        return [
            self.keeps[tap].give() if tap in self.keeps else fmap
            for tap, fmap in zip(taps, maps, strict=True)
        ]


@MODELS.register_module()
class PreActivationBackbone(Backbone):
    """A backbone whose maps are taken before the activation that makes them, as SwiftNet reads ResNet.

    Only a map that is itself the output of an activation changes: in ResNet and RegNet the sum at the
    end of a stage, before its ReLU. Linear bottlenecks (MobileNetV2), joined or shuffled halves
    (ShuffleNetV2) and transformers have no such activation: their maps stay as they are.

    Args:
        name: as for :class:`~mmbackbones.backbone.Backbone`.
        **kwargs: likewise, but for ``with_cp=True``.

    Attributes:
        before_activation: for each map whether it is taken before an activation.

    Raises:
        InputError: as ``Backbone``, or ``with_cp=True``, which runs the activations out of sight.

    >>> PreActivationBackbone("resnet18").before_activation
    (True, True, True, True)
    """

    def __init__(self, name: str, **kwargs: Any) -> None:
        if kwargs.get("with_cp"):
            raise InputError(
                "with_cp=True: PreActivationBackbone cannot checkpoint; use the backbone's own type."
            )
        super().__init__(name, **kwargs)
        keeps: dict[int, KeepInput] = {}
        size = fixed_size({**self.spec.arguments, **(kwargs.get("net_kwargs") or {})}) or EVEN_SIZES[0]
        image = torch.empty(1, self.in_channels, *size, device="meta")
        for tap, path in _last_activations(self._feature_net, self._taps, image).items():
            module: Any = self.get_submodule(path)
            module.inplace = False  # a block may use one ReLU twice; what is kept must not change
            keeps[tap] = KeepInput(module)
        self.before_activation = tuple(tap in keeps for tap in self._taps)
        self._feature_net = _Before(self._feature_net, keeps)


def _last_activations(feature_net: FeatureNet, taps: Sequence[int], image: Tensor) -> dict[int, str]:
    """Tap -> path of the activation whose output is the map itself, where there is one."""
    copied = meta_copy(feature_net)
    calls: list[tuple[str, object]] = []

    def noter(path: str) -> Any:
        return lambda _module, _inputs, out: calls.append((path, out))

    for path, module in copied.net.named_modules():
        if not list(module.children()) and not isinstance(module, nn.Identity):
            module.register_forward_hook(noter(path))
    maps = copied.run(image, list(taps))
    found = {}
    for tap, fmap in zip(taps, maps, strict=True):
        path = next((path for path, out in reversed(calls) if out is fmap), "")
        if path and isinstance(copied.net.get_submodule(path), ACTIVATIONS):
            found[tap] = path
    return found
