"""Maps and anchors of different strides are told in the first pass."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.registry import MODELS, init_default_scope

from mmbackbones import InputError, get_spec
from mmbackbones.compose.configs import load_config
from mmbackbones.engine.strides import watch_strides


def retinanet(strides: tuple[int, ...]) -> Any:
    cfg = load_config("detection/retinanet_mobilenetv3-large-scratch_fpn_1xb8-8e_coco-160x160")
    channels = get_spec("mobilenetv3_large_100").channels
    cfg.model.backbone.out_strides = strides
    cfg.model.neck.in_channels = [channels[stride] for stride in strides]
    init_default_scope(cfg.default_scope)
    network = MODELS.build(cfg.model).eval()
    watch_strides(network)
    return network


def predict(network: Any, size: tuple[int, int]) -> None:
    meta = dict(img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0))
    network(inputs=torch.zeros(1, 3, *size), data_samples=[DetDataSample(metainfo=meta)], mode="predict")


@torch.no_grad()
def test_five_maps_of_other_strides_than_the_anchors() -> None:
    message = r"RetinaHead.* \[8, 16, 32, 64, 128\], but gets .* \[4, 8, 16, 32, "
    with pytest.raises(InputError, match=message):
        predict(retinanet((4, 8, 16, 32)), (224, 160))


@torch.no_grad()
@pytest.mark.parametrize("size", [(224, 160), (97, 131), (64, 64)])
def test_what_fits_passes_and_is_looked_at_once(size: tuple[int, int]) -> None:
    network = retinanet((8, 16, 32))
    predict(network, size)
    network.bbox_head.prior_generator.strides = [(1, 1)] * 5  # a second look would refuse these
    predict(network, size)
