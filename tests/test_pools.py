"""Pools called as functions become modules: found in the code that runs, be its source at hand or not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from mmbackbones.surgery.pools import pools_as_modules


class Pooled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return self.pooled(x).relu()

    def pooled(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, 3, stride=2) + F.avg_pool2d(x, 3, 2)


class Inherits(Pooled):
    """Names no pool itself, as torchvision's quantisable Inception."""


class Adaptive(nn.Module):
    """Has the names in its source, and calls none of them: ``F.max_pool2d(x, 3)``."""

    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(x, 1)


#: A class that no source file defines.
Made = type("Made", (nn.Module,), {"forward": lambda self, x: F.max_pool2d(x, 2)})


@pytest.mark.parametrize(
    ("kind", "pools"),
    [
        (Pooled, [nn.MaxPool2d, nn.AvgPool2d]),
        (Inherits, [nn.MaxPool2d, nn.AvgPool2d]),
        (Made, [nn.MaxPool2d]),
        (Adaptive, []),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_calls_become_modules_and_values_stay(kind: type[nn.Module], pools: list[type[nn.Module]]) -> None:
    net, x = nn.Sequential(kind()), torch.randn(1, 2, 9, 9)
    expected = net(x)
    pools_as_modules(net)
    assert torch.equal(net(x), expected)
    assert [type(child) for child in net[0].children()] == pools
    assert (type(net[0]) is kind) == (not pools), "what calls no pool is left as it is"
