"""The one backbone class, and a registered type for each name of the catalog."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .catalog import catalog_names
from .catalog.inputs import resolve
from .catalog.own import own_names
from .errors import InputError
from .feature_nets.arguments import (
    check_arguments,
    check_frozen_stages,
    choose_strides,
    unknown_arguments,
)
from .feature_nets.loading import LoadingModule
from .feature_nets.specs import get_spec
from .feature_nets.steps import Changes, make_feature_net
from .registry import MODELS
from .sources import FeatureNet, bound_to, has_net
from .sources.cells import cut, pad_to
from .sources.feature_net import PYRAMID_NAME
from .surgery.freezing import frozen_module_paths, frozen_names, hold_in_eval
from .surgery.memory_format import lay_out, memory_format_for
from .tracing.layers import layers_of_params
from .weights.loading import meant_for_another


@MODELS.register_module()
class Backbone(LoadingModule):
    """Any network of the catalog, of timm or of torchvision, with one contract.

    ``forward`` takes ``(N, in_channels, H, W)`` and returns a tuple of NCHW maps, fine to coarse, each
    of ``ceil(H / stride) x ceil(W / stride)`` cells. Parameters have the upstream's own names.

    Args:
        name: A catalog name, ``timm:<name>``, ``torchvision:<name>``, or one of
            :func:`mmbackbones.register_backbone`.
        out_strides: Strides of the maps in pixels; by default those of (4, 8, 16, 32).
        out_indices: The same in OpenMMLab's spelling: 0, 1, 2, 3 always mean C2, C3, C4, C5.
        frozen_stages: -1 nothing, 0 the stem, k the stem and the first k stages; stage k ends at the
            map C(k+1). Frozen means no gradient, statistics constant, drop-out off, whatever ``train``.
        frozen_fraction: Instead: the first fraction, 0 to 1, of the convolutions and linear layers, in
            order of execution, with what is executed between them.
        norm_eval: Whether all batch norms keep their statistics constant while training.
        norm_cfg: ``dict(type='BN' | 'SyncBN' | 'GN' | 'FrozenBN', ...)`` replaces every batch norm.
        with_cp: Gradient checkpointing: less memory, one more forward pass of each block.
        memory_format: 'channels_last', 'contiguous', or 'auto' for the faster one of this network, in which
            torch then runs its convolutions: other speed, same values. By default ``mmbackbones train``,
            ``test`` and ``predict`` choose, and all others get contiguous weights.
        output_stride: 8, 16 or 32: later strides become dilations. ``out_strides`` still counts the
            undilated strides; the attribute says the real ones.
        attention: 'se', 'cbam' or 'eca' puts that module into every residual block of timm's ResNet, ResNeXt
            or Wide ResNet, in front of the addition; its weights are fresh, those around it as they were.
        in_channels: Channels of the image. Pretrained first convolutions are adapted.
        repair_padding: Whether nets written without padding (Inception, AlexNet, SqueezeNet ...) get it,
            so that their maps have the exact size and place; False gives the original geometry.
        pretrained: ``True``, a tag of the catalog, an address or a file; loaded at once.
        net_kwargs: More arguments of the upstream's constructor, e.g. ``dict(drop_path_rate=0.1)``.
        init_cfg: ``dict(type='Pretrained', checkpoint=...)`` is loaded by ``init_weights()``; the
            checkpoint is ``timm://``, ``torchvision://``, ``http(s)://`` or a file.

    Attributes:
        out_channels: Channels of each map.
        out_strides: Stride of each map in pixels.
        param_stages: Stage (0 the stem, 1 to 4) of each parameter but those of a plain ViT's pyramid.
        spec: The catalog's row.
        upstream_shapes: Shapes of the whole upstream network's parameters and buffers.
        load_report: What the last load of pretrained weights did; None before one.

    Raises:
        InputError: a value that the message names, with what is allowed.
    """

    def __init__(
        self,
        name: str,
        *,
        out_strides: Sequence[int] | None = None,
        out_indices: Sequence[int] | None = None,
        frozen_stages: int = -1,
        frozen_fraction: float | None = None,
        norm_eval: bool = False,
        norm_cfg: dict[str, Any] | None = None,
        with_cp: bool = False,
        memory_format: str | None = None,
        output_stride: int | None = None,
        attention: str | None = None,
        in_channels: int = 3,
        repair_padding: bool = True,
        pretrained: bool | str | None = None,
        net_kwargs: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
        **unknown: Any,
    ) -> None:
        if unknown:
            raise unknown_arguments(unknown, Backbone)
        super().__init__(init_cfg)
        self.spec = get_spec(name)
        check_arguments(
            self.spec,
            frozen_stages=frozen_stages,
            frozen_fraction=frozen_fraction,
            in_channels=in_channels,
            memory_format=memory_format,
            norm_cfg=norm_cfg,
            output_stride=output_stride,
        )
        strides = choose_strides(self.spec, out_strides, out_indices)
        how = Changes(
            in_channels,
            net_kwargs,
            attention,
            repair_padding,
            output_stride,
            frozen_stages,
            frozen_fraction,
            norm_cfg,
            with_cp,
        )
        made = make_feature_net(self.spec, name, strides, how)

        self.frozen_stages, self.frozen_fraction, self.norm_eval = frozen_stages, frozen_fraction, norm_eval
        self.in_channels, self._arguments = in_channels, made.arguments
        self.out_channels = tuple(made.asked.channels[stride] for stride in strides)
        self.out_strides = tuple(min(stride, output_stride or stride) for stride in strides)
        self.load_report = None
        self.upstream_shapes, self._order = made.shapes, made.order
        self._trace, self._pad_to = made.asked, made.multiple
        self._taps = tuple(made.asked.taps[stride] for stride in strides)
        self._adopt(made.feature_net)
        self._trains = frozenset(name for name, param in self.named_parameters() if param.requires_grad)
        left = {name for name, _ in self.named_parameters() if not name.startswith(f"{PYRAMID_NAME}.")}
        self.param_stages = {name: stage for name, stage in made.stages.items() if name in left}
        self._freeze(made.frozen & left)
        self.memory_format = memory_format
        if memory_format == "channels_last":
            lay_out(self, torch.channels_last)
        elif memory_format == "auto":
            lay_out(self, memory_format_for(self))
        if pretrained and not meant_for_another(pretrained, self.spec.name):
            self._load(resolve(self.spec, pretrained))
        self.train()

    def _adopt(self, feature_net: FeatureNet) -> None:
        """Take the network's children, parameters and buffers as our own.

        The containers are shared, not copied: what happens to this module (``to``, ``deepcopy``,
        sharding) happens to the network, and names carry no prefix.
        """
        self._feature_net = feature_net
        self._modules = feature_net.net._modules
        self._parameters = feature_net.net._parameters
        self._buffers = feature_net.net._buffers

    @property
    def feature_net(self) -> FeatureNet:
        """The network inside, which shares this module's children, with the places of its maps."""
        return self._feature_net

    def _feature_net_here(self) -> FeatureNet:
        """The network with our own children: those of a replica of ``DataParallel`` lie on its device."""
        if not getattr(self, "_is_replica", False):  # torch's mark; 2.4 compiles no `is` between dicts
            return self._feature_net
        net = self._feature_net.net
        replica = object.__new__(type(net))
        containers = {name: vars(self)[name] for name in ("_modules", "_parameters", "_buffers")}
        replica.__dict__.update(vars(net), **vars(self).get("_former_parameters", {}), **containers)
        return bound_to(self._feature_net, replica)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Maps of ``x`` (N, in_channels, H, W), fine to coarse, each (N, C, ceil(H / s), ceil(W / s))."""
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise InputError(
                f"{self.spec.name} got an input of shape {tuple(x.shape)}, "
                f"expects (N, {self.in_channels}, H, W). "
                f"Set in_channels={x.shape[1] if x.ndim == 4 else 3} for other images."
            )
        x, surplus = pad_to(x, self._pad_to)
        maps = self._feature_net_here().run(x, self._taps)
        if self._pad_to > 1:
            maps = [cut(fmap, surplus, stride) for fmap, stride in zip(maps, self.out_strides, strict=True)]
        return tuple(maps)

    def train(self, mode: bool = True) -> Backbone:
        """As ``nn.Module.train``; what is frozen stays in eval mode. Returns self."""
        super().train(mode)
        self._feature_net.net.training = mode and "" not in self._frozen_modules
        if mode:
            hold_in_eval(self, self._frozen_modules, self.norm_eval)
        return self

    def freeze(self, frozen_stages: int) -> Backbone:
        """Move the end of what is frozen to ``frozen_stages``, as the argument has it. Returns self.

        What is thawed trains from the next forward pass on. A ``DistributedDataParallel`` around it has to
        be made again, see :class:`mmbackbones.finetune.unfreeze.UnfreezeHook`.

        Raises:
            InputError: no such stage.
        """
        check_frozen_stages(frozen_stages)
        self._freeze(frozen_names(self.param_stages, frozen_stages))
        self.frozen_stages, self.frozen_fraction = frozen_stages, None
        return self.train(self.training)

    def trainable_names(self, frozen_stages: int) -> frozenset[str]:
        """Names of the parameters that train when that much is frozen."""
        return self._trains - frozen_names(self.param_stages, frozen_stages)

    def _freeze(self, frozen: set[str]) -> None:
        for name, param in self.named_parameters():
            param.requires_grad_(name in self._trains and name not in frozen)
        self._frozen_modules = frozen_module_paths(self._feature_net.net, self._trace, frozen)

    @property
    def param_layers(self) -> dict[str, int]:
        """Layer (0 the stem, 1, 2, ... in order of execution) of each parameter but a ViT's pyramid."""
        return layers_of_params(self._feature_net.net, self._trace, self.param_stages)


def build(name: str, **kwargs: Any) -> Backbone:
    """Build a backbone; ``pretrained=True`` loads weights.

    All arguments: :class:`~mmbackbones.backbone.Backbone`.

    >>> net = build("mobilenetv3_large_100", out_indices=(1, 2, 3))
    >>> net.out_channels
    (40, 112, 960)
    """
    return Backbone(name, **kwargs)


@functools.cache
def backbone_type(name: str) -> type[Backbone]:
    """The subclass of :class:`Backbone` that is ``name``: what the registry holds under it."""

    def __init__(self: Backbone, **kwargs: Any) -> None:  # noqa: N807
        if "name" in kwargs:
            raise unknown_arguments({"name": kwargs["name"]}, type(self))
        Backbone.__init__(self, name, **kwargs)

    __init__.__signature__ = _SIGNATURE  # type: ignore[attr-defined]
    body = {
        "__init__": __init__,
        "__reduce__": lambda self: (_blank, (name,), self.__dict__),
        "__module__": __name__,
        "__doc__": f"``{name}`` as :class:`Backbone` builds it; all its arguments but ``name``.",
    }
    return type(name, (Backbone,), body)


def _blank(name: str) -> Backbone:
    """An object of the type of ``name`` without content, for pickles: such a name need be no identifier."""
    kind = backbone_type(name)
    return kind.__new__(kind)


_SIGNATURE = inspect.signature(Backbone.__init__)
_SIGNATURE = _SIGNATURE.replace(
    parameters=[param for param in _SIGNATURE.parameters.values() if param.name not in ("name", "unknown")]
)


def _open_type(name: str, build: bool) -> type[Backbone] | None:
    """The type of ``timm:<name>``, ``torchvision:<name>`` or of a user's own; None for unknown ones, but of
    those with a source only unless built."""
    source, colon, upstream = name.partition(":")
    if not colon:
        return backbone_type(name) if name in own_names() else None
    return backbone_type(name) if build or has_net(source, upstream) else None


for _name in catalog_names():
    MODELS.register_module(name=_name, module=backbone_type(_name))
MODELS.open_type = _open_type


def __getattr__(name: str) -> type[Backbone]:
    """The type of a name, for lazy configs: they say ``from mmbackbones.backbone import resnet50``."""
    if name in catalog_names() or name in own_names():
        return backbone_type(name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
