"""EfficientDet's head: separable convolutions shared by all levels, batch norms of each level's own."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from mmdet.models.dense_heads import AnchorHead
from mmengine.model import bias_init_with_prob
from torch import Tensor, nn

from ..necks.blocks import Config, activation_layer, norm_layer

BATCH_NORM: Config = dict(type="BN", momentum=0.01, eps=1e-3)
SWISH: Config = dict(type="SiLU")
# Boxes of 4 strides at three scales of an octave, in the order of the paper's code.
ANCHORS: Config = dict(
    type="mmdet.AnchorGenerator",
    octave_base_scale=4,
    scales_per_octave=3,
    ratios=[1.0, 0.5, 2.0],
    strides=[8, 16, 32, 64, 128],
    center_offset=0.5,
    scale_major=False,
)
FOCAL: Config = dict(type="mmdet.FocalLoss", use_sigmoid=True, gamma=1.5, alpha=0.25)
SMOOTH_L1: Config = dict(type="mmdet.SmoothL1Loss", beta=0.1, loss_weight=1.25)
INIT: Config = dict(type="Caffe2Xavier", layer="Conv2d")


class EfficientDetHead(AnchorHead):
    """Class net and box net of EfficientDet (arXiv 1911.09070, section 4.2), with effdet's names.

    Each is ``stacked_convs`` times a 3x3 depthwise and a 1x1 convolution, batch norm and swish, then one
    such pair for the predictions. All levels share the convolutions; each level has batch norms of its
    own. Classes are learnt by focal loss (gamma 1.5, alpha 0.25), boxes by the paper code's Huber loss
    (delta 0.1, weight 50, mean over the four numbers), which is smooth L1 with beta 0.1 and weight 1.25.

    Differences from the paper's code: boxes are coded as (x, y, w, h), not (y, x, h, w); anchors of
    ratio 2 are sqrt(2) : 1/sqrt(2), not 1.4 : 0.7; losses are divided by the number of positives, not by
    one more.

    Args:
        num_classes: number of classes.
        in_channels: of each map that arrives.
        stacked_convs: convolutions before the prediction; 3 in EfficientDet-D0.
        norm_cfg: a dict with ``type`` BN, SyncBN, GN, FrozenBN or LN and the layer's arguments.
        act_cfg: a dict with ``type``, an activation of ``torch.nn``.
        anchor_generator: anchors of mmdet, one set for each level.
        loss_cls: mmdet's loss of the classes.
        loss_bbox: mmdet's loss of the coded boxes.
        **kwargs: further arguments of mmdet's ``AnchorHead``: ``train_cfg``, ``test_cfg``, ``bbox_coder``,
            ``reg_decoded_bbox``, ``init_cfg``.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 64,
        stacked_convs: int = 3,
        norm_cfg: Config = BATCH_NORM,
        act_cfg: Config = SWISH,
        anchor_generator: Config = ANCHORS,
        loss_cls: Config = FOCAL,
        loss_bbox: Config = SMOOTH_L1,
        init_cfg: Config | Sequence[Config] | None = INIT,
        **kwargs: Any,
    ) -> None:
        self.stacked_convs, self.norm_cfg, self.act_cfg = stacked_convs, norm_cfg, act_cfg
        super().__init__(
            num_classes,
            in_channels,
            feat_channels=in_channels,
            anchor_generator=anchor_generator,
            loss_cls=loss_cls,
            loss_bbox=loss_bbox,
            init_cfg=init_cfg,
            **kwargs,
        )

    def _init_layers(self) -> None:
        levels = self.prior_generator.num_levels
        layers = (self.in_channels, self.stacked_convs, levels, self.norm_cfg, self.act_cfg)
        self.class_net = _Net(self.num_base_priors * self.cls_out_channels, *layers)
        self.box_net = _Net(self.num_base_priors * self.bbox_coder.encode_size, *layers)

    def init_weights(self) -> None:
        """As ``init_cfg`` says; every class starts at the probability 0.01."""
        super().init_weights()
        bias = self.class_net.get_parameter("predict.conv_pw.bias")
        nn.init.constant_(bias, bias_init_with_prob(0.01))

    def forward(self, x: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Maps ``(N, in_channels, H_i, W_i)`` to class logits and coded boxes of each level.

        Returns:
            For each level ``(N, anchors * num_classes, H_i, W_i)``, and likewise ``(N, anchors * 4, ...)``.
        """
        return (
            [self.class_net(fmap, level) for level, fmap in enumerate(x)],
            [self.box_net(fmap, level) for level, fmap in enumerate(x)],
        )


class _Separable(nn.Module):
    """3x3 depthwise, then 1x1 convolution with a bias, which the paper's code has before a norm too."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv_dw = nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False)
        self.conv_pw = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_pw(self.conv_dw(x))


class _Net(nn.Module):
    """Convolutions for all levels, normalisations for each."""

    def __init__(
        self, out_channels: int, channels: int, depth: int, levels: int, norm_cfg: Config, act_cfg: Config
    ) -> None:
        super().__init__()
        self.conv_rep = nn.ModuleList(_Separable(channels, channels) for _ in range(depth))
        self.bn_rep = nn.ModuleList(
            nn.ModuleList(nn.Sequential(OrderedDict([norm_layer(norm_cfg, channels)])) for _ in range(levels))
            for _ in range(depth)
        )
        self.act = activation_layer(act_cfg)
        self.predict = _Separable(channels, out_channels)

    def forward(self, x: Tensor, level: int) -> Tensor:
        for index, conv in enumerate(self.conv_rep):
            norm = self.bn_rep.get_submodule(f"{index}.{level}")
            x = self.act(norm(conv(x)))
        return self.predict(x)
