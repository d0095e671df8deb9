"""Arguments of the contract together: whatever two of them are given, each keeps its promise.

``make test`` gives the smallest net of each family all arguments at once, which is every pair of them, and
takes the pairs one by one on a few small nets; ``make sweep`` takes them one by one on every family.
"""

import functools
import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import LIGHT, SMALLEST, SWEEP, blank, built, close, quick
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

import mmbackbones
from mmbackbones.backbone import Backbone

SIZE = (64, 96)
UNREPAIRED = (96, 128)  # AlexNet without padding has no cells left at less
#: Arguments that change no value of a net in eval mode.
NEUTRAL = ("frozen_stages", "frozen_fraction", "norm_cfg", "norm_eval", "with_cp")
#: Unpadded layers, and batch norms.
ONE_BY_ONE = ["squeezenet1_1", "mobilenetv1_025"]
TAKEN = sorted({*SMALLEST} & {*LIGHT} | {*ONE_BY_ONE})


def arguments(name: str, file: Path) -> dict[str, Any]:
    """A value of each argument that ``name`` takes."""
    spec = mmbackbones.get_spec(name)
    values = {
        "out_strides": spec.strides[-3::2],
        "output_stride": 8,
        "frozen_stages": 2,
        "frozen_fraction": 0.5,
        "norm_cfg": {"type": "SyncBN"},
        "norm_eval": True,
        "with_cp": True,
        "in_channels": 4,
        "repair_padding": False,
        "pretrained": str(file),
    }
    if not spec.dilatable:
        del values["output_stride"]
    if not any(isinstance(module, _BatchNorm) for module in built(name).modules()):
        del values["norm_cfg"]
    return values


def choices(values: dict[str, Any], one_by_one: bool, turn: int) -> list[dict[str, Any]]:
    """Every pair of the arguments, one by one or all at once; the two ways of freezing never together.

    All at once has one of these two ways, in turn from family to family.
    """
    ways = {"frozen_stages", "frozen_fraction"}
    if one_by_one:
        return [
            dict(pair)
            for pair in itertools.combinations(values.items(), 2)
            if {pair[0][0], pair[1][0]} != ways
        ]
    other = sorted(ways)[turn % 2]
    return [{key: value for key, value in values.items() if key != other}]


@pytest.mark.parametrize("name", TAKEN)
def test_any_two_arguments_keep_their_promises(name: str, tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    torch.save(built(name).state_dict(), file)
    one_by_one = SWEEP or name in ONE_BY_ONE
    for chosen in choices(arguments(name, file), one_by_one, turn=TAKEN.index(name)):
        net, plain = both(name, chosen)
        try:
            check_maps(net, plain, chosen)
            check_gradients(net, chosen)
        except Exception as error:
            raise AssertionError(f"{name} with {chosen}") from error


def both(name: str, chosen: dict[str, Any]) -> tuple[Backbone, Backbone]:
    """The net as chosen, and without the arguments that change no value; with the same weights."""
    given = built(name).state_dict()
    net = quick(name, **chosen)
    plain = blank(name, **{k: v for k, v in chosen.items() if k not in NEUTRAL})
    assert net.state_dict().keys() == plain.state_dict().keys() <= given.keys()
    if "pretrained" in chosen:
        adapted = [k for k, v in net.state_dict().items() if not torch.equal(v, given[k])]
        assert len(adapted) == ("in_channels" in chosen)
    else:
        own = net.state_dict()
        same = {k: v for k, v in given.items() if k in own and own[k].shape == v.shape}
        assert len(same) == len(own) - ("in_channels" in chosen)
        net.load_state_dict(same, strict=False)
        plain.load_state_dict(net.state_dict())
    return net.eval(), plain.eval()


def check_maps(net: Backbone, plain: Backbone, chosen: dict[str, Any]) -> None:
    """Strides, channels and sizes as promised; values as without the neutral arguments."""
    size = size_for(chosen)
    x = torch.rand(2, net.in_channels, *size)
    strides = chosen.get("out_strides") or tuple(s for s in net.spec.strides if s > 2)
    channels = [net.spec.channels[stride] for stride in strides]
    real = [min(stride, chosen.get("output_stride", stride)) for stride in strides]
    assert net.out_strides == tuple(real)
    assert list(net.out_channels) == channels
    with torch.no_grad():
        expected = plain(x)
        quiet = net(x)
    for maps in (quiet, net(x)):
        for fmap, reference in zip(maps, expected, strict=True):
            assert close(fmap.detach(), reference, 1e-5)
    if "repair_padding" not in chosen or original_is_exact(net.spec.name):
        cells = [ceil_sizes(size, stride) for stride in real]
        assert [(m.shape[1], tuple(m.shape[2:])) for m in quiet] == list(zip(channels, cells, strict=True))


def size_for(chosen: dict[str, Any]) -> tuple[int, int]:
    return UNREPAIRED if "repair_padding" in chosen else SIZE


def ceil_sizes(size: tuple[int, int], stride: int) -> tuple[int, ...]:
    return tuple(math.ceil(side / stride) for side in size)


@functools.lru_cache
def original_is_exact(name: str) -> bool:
    """Whether the net as its authors wrote it has maps of the promised sizes, so that nothing is repaired."""
    net = quick(name, repair_padding=False).eval()
    with torch.no_grad():
        maps = net(torch.rand(1, 3, *UNREPAIRED))
    cells = [ceil_sizes(UNREPAIRED, stride) for stride in net.out_strides]
    return [tuple(m.shape[2:]) for m in maps] == cells


def check_gradients(net: Backbone, chosen: dict[str, Any]) -> None:
    """All that trains has a gradient; what is frozen has none and keeps its statistics."""
    net.train()
    frozen = {n for n, p in net.named_parameters() if not p.requires_grad}
    if "frozen_fraction" in chosen:
        assert frozen
    else:
        end = chosen.get("frozen_stages", -1)
        assert frozen == {n for n, stage in net.param_stages.items() if stage <= end}
    if len(frozen) == len(list(net.parameters())):  # LeNet's only map lies in its first stage
        return
    before = {key: value.clone() for key, value in net.named_buffers()}
    total(net(torch.rand(2, net.in_channels, *size_for(chosen)))).backward()
    assert [n for n, p in net.named_parameters() if (p.grad is None) != (n in frozen)] == []
    still = {name.rpartition(".")[0] for name in frozen}
    for key, value in net.named_buffers():
        if key.endswith("running_mean"):
            kept = "norm_eval" in chosen or key.rpartition(".")[0] in still
            assert torch.equal(value, before[key]) == kept, key


def total(maps: tuple[Tensor, ...]) -> Tensor:
    return sum((fmap**2).mean() for fmap in maps)
