"""Errors of torch inside a model that a command explains, and heads that some data does not fit."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import conv2d

from mmbackbones.compose.configs import load_config
from mmbackbones.engine.checks import check_heads
from mmbackbones.engine.explained import errors_explained
from mmbackbones.errors import InputError

MAPS = torch.ones(1, 2, 3, 4).to(memory_format=torch.channels_last)
CASES = {
    "view": (lambda: MAPS.view(-1), "add --cfg-options model.backbone.memory_format=contiguous"),
    "kernel": (lambda: conv2d(MAPS, torch.ones(1, 2, 5, 5)), "too small for the model.*--img-scale"),
    "top": (lambda: torch.topk(torch.ones(3), 9), "too small for the model.*--img-scale.*num_queries"),
}


@pytest.mark.parametrize(("fails", "said"), CASES.values(), ids=[*CASES])
def test_what_is_known_is_explained(fails, said: str) -> None:
    with pytest.raises(InputError, match=f"{said}.*torch says: "), errors_explained():
        fails()


def test_all_else_stays() -> None:
    with pytest.raises(RuntimeError, match="size of tensor"), errors_explained():
        torch.ones(3) + torch.ones(5)


def test_crowddet_has_one_class() -> None:
    pytest.importorskip("mmdet")
    model = load_config("mmdet::crowddet/crowddet-rcnn_r50_fpn_8xb2-30e_crowdhuman").model
    check_heads(model)
    model.roi_head.bbox_head.num_classes = 6
    with pytest.raises(InputError, match="one class from the background, and is to tell 6.*--classes NAME"):
        check_heads(model)
