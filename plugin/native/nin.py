"""Network in Network (arXiv 1312.4400), the ImageNet layout of the Caffe model zoo."""

from __future__ import annotations

from torch import nn

from .chain import Chain
from .layers import half, initialised, max_pool


def nin(*, in_channels: int = 3, repair_padding: bool = True) -> Chain:
    """Four spatial convolutions, each with two 1x1 layers behind it.

    The last 1x1 layer yields the class maps themselves: it is the classifier, and left out. Without repair
    the size is 224.
    """
    steps: dict[str, nn.Module] = {}

    def add(name: str, conv: nn.Conv2d) -> None:
        steps[name] = conv
        steps[f"relu_{name}"] = nn.ReLU()

    channels = in_channels
    #            width, kernel, stride, padding as published
    for index, (width, kernel, stride, padding) in enumerate(
        [(96, 11, 4, 0), (256, 5, 1, 2), (384, 3, 1, 1), (1024, 3, 1, 1)], start=1
    ):
        add(
            f"conv{index}",
            nn.Conv2d(channels, width, kernel, stride, half(kernel) if repair_padding else padding),
        )
        add(f"cccp{2 * index - 1}", nn.Conv2d(width, width, 1))
        if index < 4:
            add(f"cccp{2 * index}", nn.Conv2d(width, width, 1))
            steps[f"pool{index}"] = max_pool(repair_padding=repair_padding, ceil_mode=True)
        if index == 3:
            steps["drop"] = nn.Dropout(0.5)
        channels = width
    return initialised(Chain(steps))
