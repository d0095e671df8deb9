"""What trying one point of the contract gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from ..backbone import Backbone, build
from ..catalog.spec import Spec
from ..feature_nets.specs import get_spec

HOLDS, FAILS, LEFT_OUT = "holds", "fails", "left out"


@dataclass(frozen=True)
class Point:
    """One point.

    Attributes:
        name: What it is about.
        outcome: :data:`HOLDS`, :data:`FAILS` or :data:`LEFT_OUT`.
        seen: What was seen.
        change: What to change where it fails.
    """

    name: str
    outcome: str
    seen: str
    change: str = ""


class FailsError(Exception):
    """A point does not hold: what was seen, and what to change."""

    def __init__(self, seen: str, change: str) -> None:
        super().__init__(seen)
        self.seen, self.change = seen, change


class LeaveOutError(Exception):
    """A point has no meaning for this backbone: why."""


@dataclass
class Subject:
    """The backbone that is tried.

    Attributes:
        name: As the user calls it.
        size: Height and width of small images, pixels.
    """

    name: str
    size: tuple[int, int] = field(default=(64, 96))

    @cached_property
    def spec(self) -> Spec:
        """Its row, or what is measured of it."""
        return get_spec(self.name)

    @cached_property
    def net(self) -> Backbone:
        """With all its maps, random weights, and norms that do something. Not to be changed."""
        net = self.built()
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for key, param in net.named_parameters():
                if param.ndim == 1:  # fresh norms are nearly the identity, and zeros hide what is before them
                    low, high = (-0.2, 0.2) if key.endswith("bias") else (0.5, 1.5)
                    param.copy_(low + (high - low) * torch.rand(param.shape, generator=generator))
        return net.eval()

    def built(self, **arguments: object) -> Backbone:
        """The backbone as ``arguments`` have it, by default with all its maps."""
        torch.manual_seed(0)
        return build(self.name, **{"out_strides": self.spec.strides, **arguments})

    def image(self, height: int = 0, width: int = 0, channels: int = 3) -> Tensor:
        """Two images of noise."""
        generator = torch.Generator().manual_seed(1)
        high, wide = (height, width) if height else self.size
        return torch.rand(2, channels, high, wide, generator=generator)


def loss(maps: tuple[Tensor, ...]) -> Tensor:
    """A number that depends on every cell of every map."""
    return torch.stack([fmap.float().square().mean() for fmap in maps]).sum()


def differs(ours: Tensor, theirs: Tensor, tolerance: float = 1e-4) -> bool:
    """Whether two tensors differ by more than a share of the largest value."""
    scale = float(theirs.abs().max()) if theirs.numel() else 0.0
    return ours.shape != theirs.shape or not float((ours - theirs).abs().max()) <= tolerance * scale + 1e-12
