"""Contract point 2: cell (i, j) of the stride-s map looks at ((i + 0.5) s, (j + 0.5) s), within s / 2."""

from functools import lru_cache

import pytest
import torch
from cases import CONVOLUTIONAL, LIGHT, blank
from torch import Tensor, nn

from mmbackbones.native.attention import GlobalGate


def linear(net: nn.Module) -> nn.Module:
    """The net as an average over its windows: positive weights, no bias, norms and gates left out.

    What remains is geometry: the gradient of a cell is the net's receptive field, without noise.
    """
    gates = ("SqueezeExcite", "SEModule", "EffectiveSEModule", "LayerNorm2d")
    for path, module in list(net.named_modules()):
        if isinstance(module, nn.MaxPool2d):
            pool = nn.AvgPool2d(module.kernel_size, module.stride, module.padding, module.ceil_mode)
            parent, _, child = path.rpartition(".")
            setattr(net.get_submodule(parent), child, pool)
        elif isinstance(module, (nn.LayerNorm, GlobalGate)) or type(module).__name__ in gates:
            module.forward = lambda x, *_: x
    with torch.no_grad():
        for name, param in net.named_parameters():
            if param.ndim > 1:
                param.fill_(1.0 / param[0].numel())
            else:
                param.fill_(0.0 if name.endswith("bias") or ".grn." in name else 1.0)
    return net.eval()


def field_of(fmap: torch.Tensor, image: torch.Tensor) -> tuple[int, torch.Tensor]:
    """A central cell of the map, and how much it depends on each pixel of the image."""
    cell = fmap.shape[-1] // 2
    (grad,) = torch.autograd.grad(fmap[..., cell, cell].sum(), image, retain_graph=True)
    return cell, grad[0].abs().sum(0)


TAKEN = [name for name in CONVOLUTIONAL if name in LIGHT]


@lru_cache(maxsize=1)
def straight(name: str) -> tuple[nn.Module, Tensor, tuple[Tensor, ...]]:
    """The linear net, an image and its maps; 224 pixels hold a central cell's field, else 448 or 896 do."""
    net = linear(blank(name))
    for side in (224, 448, 896):
        image = torch.rand(1, net.in_channels, side, side).mul_(1e-6).requires_grad_()  # below every ReLU6
        maps = net(image)
        profile = field_of(maps[-1], image)[1].sum(0)
        if profile[:8].sum() + profile[-8:].sum() < 1e-3 * profile.sum():
            break
    return net, image, maps


@pytest.mark.parametrize("name", TAKEN)
def test_the_centre_of_a_cells_gradient_lies_at_its_place(name: str) -> None:
    net, image, maps = straight(name)
    side = image.shape[-1]
    for stride, fmap in zip(net.out_strides, maps, strict=True):
        cell, field = field_of(fmap, image)
        assert field.sum() > 0
        for axis in (0, 1):
            profile = field.sum(1 - axis)
            centre = (profile * (torch.arange(side) + 0.5)).sum() / profile.sum()
            assert abs(centre - (cell + 0.5) * stride) <= stride / 2, (stride, axis)


@pytest.mark.parametrize("name", TAKEN)
def test_shifting_the_image_shifts_the_maps(name: str) -> None:
    net, image, _ = straight(name)
    side = image.shape[-1]
    spot = torch.rand(1, net.in_channels, 32, 32) * 1e-6
    maps, middle, reach = [], side // 2, side * 3 // 14  # no way over the margin is as short as a field
    for left in (middle - 32, middle):
        image = torch.zeros(1, net.in_channels, side, side)
        image[..., middle - 16 : middle + 16, left : left + 32] = spot
        with torch.no_grad():
            maps.append(net(image))
    for stride, before, after in zip(net.out_strides, *maps, strict=True):
        step, low, high = 32 // stride, (middle - reach) // stride, (middle + reach) // stride
        inner = slice(low, high)
        moved = after[..., inner, low + step : high + step]
        scale = before.abs().max()
        assert scale > 0
        assert (before[..., inner, inner] - moved).abs().max() <= 1e-3 * scale, stride
