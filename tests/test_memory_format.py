"""The faster memory format: which one it is, that values stay, and that commands use it unasked."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import MODELS
from own_cases import registered  # noqa: F401
from torch import Tensor, nn

import mmbackbones
from mmbackbones.backbone import Backbone
from mmbackbones.engine import layout
from mmbackbones.engine.layout import use_faster_format
from mmbackbones.errors import InputError
from mmbackbones.surgery.memory_format import memory_format_for

pytestmark = pytest.mark.usefixtures("registered")

LAST = torch.channels_last
#: What torch runs in another order then, each with something that could mind.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "checkpoints": ("resnet18", dict(with_cp=True)),
    "dilated": ("resnet18", dict(output_stride=16, frozen_stages=1)),
    "GN": ("timm:resnet10t", dict(norm_cfg=dict(type="GN", num_groups=8))),
    "norm_eval": ("mobilenetv1_025", dict(norm_eval=True, in_channels=4)),
    "depthwise": ("mobilenetv3_small_050", {}),
    "NHWC inside": ("timm:convnext_atto", {}),
    "padded": ("squeezenet1_1", {}),
    "a user's own": ("dictnet", {}),
}


def conv_formats(net: nn.Module) -> set[bool]:
    """Whether weights that have a format are in channels_last."""
    convs = (m for m in net.modules() if isinstance(m, nn.Conv2d) and min(m.weight.shape[1:]) > 1)
    return {conv.weight.is_contiguous(memory_format=LAST) for conv in convs}


def outputs(net: Backbone, x: Tensor) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Maps and gradients of a step."""
    torch.manual_seed(0)
    net.train()
    maps = net(x)
    sum(fmap.square().mean() for fmap in maps).backward()
    return list(maps), {key: p.grad for key, p in net.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(("name", "arguments"), CASES.values(), ids=[*CASES])
def test_another_format_has_the_same_values(name: str, arguments: dict[str, Any]) -> None:
    net = mmbackbones.build(name, **arguments)
    last = mmbackbones.build(name, memory_format="auto", **arguments)
    last.load_state_dict(net.state_dict())
    assert conv_formats(net) == {False}
    assert conv_formats(last) == {True}
    x = torch.randn(2, arguments.get("in_channels", 3), 96, 64)
    (maps, grads), (other, others) = outputs(net, x), outputs(last, x)
    torch.testing.assert_close(other, maps, rtol=1e-3, atol=1e-3)
    assert others.keys() == grads.keys()
    for key, grad in grads.items():
        torch.testing.assert_close(others[key], grad, rtol=1e-2, atol=1e-3 + 1e-2 * float(grad.abs().max()))
    assert any(fmap.is_contiguous(memory_format=LAST) for fmap in other)
    assert [*last.state_dict()] == [*net.state_dict()]


def test_in_bfloat16_too() -> None:
    net = mmbackbones.build("resnet18").eval()
    last = mmbackbones.build("resnet18", memory_format="channels_last").eval()
    last.load_state_dict(net.state_dict())
    x = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        exact = net(x)
        with torch.autocast("cpu", torch.bfloat16):
            pairs = zip(exact, net(x), last(x), strict=True)
    for exactly, plain, other in pairs:
        assert other.dtype == torch.bfloat16
        error = [(fmap.float() - exactly).norm() / exactly.norm() for fmap in (plain, other)]
        assert error[1] < 1.5 * error[0] + 1e-3  # no farther from the exact values


@pytest.mark.parametrize(
    ("name", "faster"),
    [
        ("resnet18", True),
        ("timm:convnext_atto", True),
        ("timm:vit_tiny_patch16_224", False),
    ],
)
def test_transformers_without_windows_stay_contiguous(name: str, faster: bool) -> None:
    with torch.device("meta"):
        net = mmbackbones.build(name)
    assert (memory_format_for(net) is LAST) is faster
    assert memory_format_for(net, "cuda") is memory_format_for(net)
    assert memory_format_for(net, "mps") is torch.contiguous_format


def test_what_a_backbone_says_holds() -> None:
    with pytest.raises(InputError, match="nhwc. is unknown. Allowed: .contiguous., .channels_last"):
        mmbackbones.build("resnet18", memory_format="nhwc")

    def model(**arguments: Any) -> nn.ModuleDict:
        backbone = mmbackbones.build("mobilenetv1_025", **arguments)
        return nn.ModuleDict({"backbone": backbone, "neck": nn.Conv2d(4, 4, 3)})

    for arguments, used in (({}, {True}), (dict(memory_format="contiguous"), {False})):
        found = model(**arguments)
        before = copy.deepcopy(found.state_dict())
        use_faster_format(found, "cpu")
        assert conv_formats(found) == used
        torch.testing.assert_close(found.state_dict(), before, rtol=0, atol=0)
    without = nn.ModuleDict({"neck": nn.Conv2d(4, 4, 3)})
    use_faster_format(without, "cpu")
    assert conv_formats(without) == {False}


def test_a_weight_read_by_view_stays() -> None:
    """As mmcv's weight standardisation does."""
    config = ConfigDict(type="mmbackbones.resnet18")
    model = nn.ModuleDict({"backbone": MODELS.build(config), "head": _Standardised(8, 8, 3)})
    use_faster_format(model, "cpu")
    assert conv_formats(model["backbone"]) == {True}
    assert model["head"](torch.ones(1, 8, 4, 4)).shape == (1, 8, 2, 2)


class _Standardised(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        scale = self.weight.view(len(self.weight), -1).std(1)
        return self._conv_forward(x, self.weight / scale.view(-1, 1, 1, 1), self.bias)


class _Viewing(nn.Module):
    """A detector whose head reads maps by view, as CenterNet's does of its heatmaps in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = mmbackbones.build("resnet18", out_strides=(8,))
        self.head = nn.Conv2d(128, 4, 1)
        self.calls = 0

    def forward(self, x: Tensor, evaluate: bool = True) -> Tensor:
        self.calls += 1
        fmap = self.head(self.backbone(x)[0])
        return fmap.view(len(fmap), -1) if evaluate else fmap


@pytest.mark.parametrize("fold", [False, True])
def test_a_model_goes_back_to_contiguous_maps_where_a_module_asks(
    fold: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(layout, "warn_user", said.append)
    model, x = _Viewing().eval(), torch.randn(2, 3, 64, 96)
    expected = model(x)
    use_faster_format(model, "cpu")
    if fold:
        layout.fold_norms(model)
    assert not model(x, evaluate=False).is_contiguous()
    twin = copy.deepcopy(model)
    model.calls = 0
    for _ in range(2):
        torch.testing.assert_close(model(x), expected, rtol=1e-3, atol=1e-4)
    assert model.calls == 3, "once more than asked"
    assert conv_formats(model) == {False}
    assert len(said) == 1
    assert "memory_format='contiguous'" in said[0]
    assert conv_formats(twin) == {True}, "a copy, as of the averaged weights, goes back by itself"
    torch.testing.assert_close(twin(x), expected, rtol=1e-3, atol=1e-4)
    assert conv_formats(twin) == {False}
    with pytest.raises(RuntimeError, match="type"):
        model(x.double())  # another error stays what it is
