"""Threads on one net give what one after the other gives, whatever way the net is put together."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from cases import quick
from torch import Tensor

SWIN = dict(embed_dim=24, depths=(1, 2, 1, 1), num_heads=(1, 1, 2, 2))
NETS: dict[str, tuple[str, dict[str, Any]]] = {
    "a timm net, dilated": ("timm:resnet10t", dict(output_stride=16)),
    "checkpointed and frozen": ("timm:resnet10t", dict(with_cp=True, frozen_stages=1)),
    "a chain of torchvision": ("shufflenet_v2_x0_5", {}),
    "written here": ("mobilenetv1_025", {}),
    "padding repaired": ("squeezenet1_1", {}),
    "padded to a multiple": ("timm:vgg11", {}),
    "windows that are shifted": ("timm:swin_tiny_patch4_window7_224", dict(net_kwargs=SWIN)),
    "a plain transformer": ("timm:vit_tiny_patch16_224", dict(net_kwargs=dict(depth=4, embed_dim=48))),
    "branches": ("timm:hrnet_w18_small", dict(out_strides=(4, 8))),
}


@pytest.mark.parametrize("kind", NETS)
def test_two_threads_on_one_net(kind: str) -> None:
    name, arguments = NETS[kind]
    net = quick(name, **arguments).eval()
    images = [torch.randn(1, 3, *size) for size in [(64, 96), (97, 65)] * 4]

    def run(image: Tensor) -> tuple[Tensor, ...]:
        with torch.no_grad():
            return net(image)

    one_by_one = [run(image) for image in images]
    with ThreadPoolExecutor(2) as pool:
        at_once = list(pool.map(run, images))
    for ours, theirs in zip(at_once, one_by_one, strict=True):
        for mine, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-6)
