"""Which modules count as normalisation: decided by the type, not by a word in its name."""

from __future__ import annotations

import pytest
from mmdet.models import layers as mmdet_layers
from mmdet.models.layers.normed_predictor import NormedConv2d
from timm.layers import FrozenBatchNormAct2d, conv_bn_act, mlp
from timm.layers.create_norm import _NORM_TYPES
from timm.layers.create_norm_act import _NORM_ACT_TYPES
from timm.layers.grn import GlobalResponseNorm
from torch import nn

from mmbackbones.surgery.norms import FrozenBatchNorm2d
from mmbackbones.tracing.norms import is_norm

LISTED = _NORM_TYPES | _NORM_ACT_TYPES | {FrozenBatchNormAct2d, GlobalResponseNorm}
FROZEN = {FrozenBatchNorm2d, mmdet_layers.FrozenBatchNorm2d}


@pytest.mark.parametrize("kind", sorted(LISTED | FROZEN, key=str))
def test_every_norm_of_timm_and_every_frozen_one_is_a_norm(kind: type[nn.Module]) -> None:
    assert is_norm(kind(32))
    assert is_norm(type("Mine", (kind,), {})(32))


@pytest.mark.parametrize(
    "module",
    [
        conv_bn_act.ConvNormAct(8, 8),
        mlp.GlobalResponseNormMlp(8),
        NormedConv2d(8, 8, 1),
        nn.utils.parametrizations.weight_norm(nn.Conv2d(8, 8, 1)),
    ],
    ids=lambda module: type(module).__name__,
)
def test_what_holds_or_normalises_weights_is_none(module: nn.Module) -> None:
    assert not is_norm(module)
