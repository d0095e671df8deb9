"""A layer norm of each map, between a backbone and heads that expect one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.model import BaseModule
from torch import Tensor, nn

from ..registry import MODELS
from .blocks import Config, norm_layer
from .checks import channel_list, check_maps


@MODELS.register_module()
class LevelNorm(BaseModule):
    """Normalises each map on its own; sizes and channels stay.

    Swin (arXiv 2103.14030) as a backbone of mmdet and mmseg has a layer norm of each of its maps, which
    is in no classifier's weights. With this neck, ours has them too.

    Args:
        in_channels: channels of each map that arrives.
        norm_cfg: LN, BN, SyncBN, GN or FrozenBN with its arguments; by default LN with torch's eps.
        init_cfg: as in mmengine.

    Raises:
        InputError: channels, a norm or, in ``forward``, maps that do not fit.

    >>> [tuple(m.shape) for m in LevelNorm([8, 16])((torch.rand(1, 8, 6, 6), torch.rand(1, 16, 3, 3)))]
    [(1, 8, 6, 6), (1, 16, 3, 3)]
    """

    #: Where checkpoints of OpenMMLab find a place for ``backbone.norm0`` ...
    norms_of_backbone = True

    def __init__(
        self,
        in_channels: Sequence[int],
        norm_cfg: Config | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.in_channels = self.out_channels = channel_list(in_channels)
        norm_cfg = norm_cfg or dict(type="LN", eps=1e-5)
        self.norms = nn.ModuleList(norm_layer(norm_cfg, channels)[1] for channels in self.in_channels)

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps of shape ``(N, in_channels[i], H_i, W_i)``, normalised."""
        check_maps(self, inputs, self.in_channels)
        return tuple(norm(x) for norm, x in zip(self.norms, inputs, strict=True))
