"""Batch norms folded into convolutions: the same maps, and only where they are the same."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import tiny_training
import torch
from mmengine.model import is_model_wrapper
from mmengine.registry import MODELS, init_default_scope
from own_cases import registered  # noqa: F401
from rich.console import Console
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

import mmbackbones
from mmbackbones.engine.devices import start_processes, stop_processes
from mmbackbones.engine.evaluate import evaluate
from mmbackbones.engine.layout import fold_norms
from mmbackbones.engine.runner import Runner
from mmbackbones.surgery import folding
from mmbackbones.surgery.folding import folded
from mmbackbones.surgery.norms import FrozenBatchNorm2d

pytestmark = pytest.mark.usefixtures("registered")

#: Nets with how many norms of them stay: those that no convolution alone feeds, as one of each sum.
CASES: dict[str, tuple[str, dict[str, Any], int]] = {
    "residual": ("resnet18", {}, 0),
    "norm and activation in one, SE": ("mobilenetv3_small_050", dict(out_indices=(1, 3)), 0),
    "functions between": ("dictnet", {}, 0),
    "frozen, dilated, channels_last": (
        "resnet18",
        dict(norm_cfg=dict(type="FrozenBN"), output_stride=16, memory_format="channels_last"),
        0,
    ),
    "norms before convolutions": ("timm:resnetv2_18d", dict(norm_cfg=dict(type="BN")), 8),
    "no norms": ("squeezenet1_1", {}, 0),
}


def norms(net: nn.Module) -> list[nn.Module]:
    return [module for module in net.modules() if isinstance(module, (_BatchNorm, FrozenBatchNorm2d))]


def trained(net: nn.Module) -> nn.Module:
    """With statistics and affine parameters as after a training."""
    for norm in norms(net):
        for value, low, high in ((norm.running_mean, -0.5, 0.5), (norm.running_var, 0.5, 2.0)):
            nn.init.uniform_(value, low, high)
        for value, low, high in ((norm.weight, 0.5, 1.5), (norm.bias, -0.5, 0.5)):
            nn.init.uniform_(value, low, high)
    return net.eval()


@pytest.mark.parametrize(("name", "arguments", "stay"), CASES.values(), ids=[*CASES])
def test_maps_stay(name: str, arguments: dict[str, Any], stay: int) -> None:
    net = trained(mmbackbones.build(name, **arguments))
    before = copy.deepcopy(net.state_dict())
    other = folded(net, 3)
    torch.testing.assert_close(net.state_dict(), before, rtol=0, atol=0)
    if not norms(net):
        assert other is net
        return
    assert other is not net
    assert len(norms(other)) == stay
    x = torch.randn(2, 3, 70, 96)
    with torch.no_grad():
        for one, plain in zip(other(x), net(x), strict=True):
            torch.testing.assert_close(one, plain, rtol=1e-3, atol=1e-3 * float(plain.abs().max()))
    training = mmbackbones.build(name, **arguments).train()
    assert folded(training, 3) is training


class Forked(nn.Module):
    """Its convolutions' outputs are read by others too, or their norms run twice, or by hooks."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3, 3, 3, padding=1) for _ in range(4))
        self.norms = nn.ModuleList(nn.BatchNorm2d(3) for _ in range(4))
        self.seen: list[Tensor] = []
        self.norms[3].register_forward_hook(lambda *given: self.seen.append(given[2]))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        first = self.convs[0](x)
        x = self.norms[0](first) + first
        x = self.norms[1](self.norms[1](self.convs[1](x)))
        weight = self.norms[2].weight.view(1, -1, 1, 1)  # what is read here is gone when it is folded
        return x, self.norms[2](self.convs[2](x)) * weight, self.norms[3](self.convs[3](x))


def test_what_cannot_be_folded_stays() -> None:
    net = trained(Forked())
    assert folding.foldable(net, 3) == [("convs.2", "norms.2")]
    assert folded(net, 3) is net  # the copy does not run
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folding, "fuse_conv_bn_weights", lambda weight, bias, *_: (weight, bias))
        plain = trained(mmbackbones.build("dictnet"))
        assert folded(plain, 3) is plain  # its maps would differ


def test_a_model_is_folded_whole() -> None:
    """The convolutions of mmseg's head too, except one that two modules share."""
    init_default_scope("mmseg")
    norm = dict(type="BN")
    head = dict(type="mmseg.FCNHead", in_channels=512, in_index=3, channels=8, num_classes=3, norm_cfg=norm)
    model = nn.ModuleDict({"backbone": MODELS.build(dict(type="mmbackbones.resnet18"))})
    model["head"] = MODELS.build({**head, "loss_decode": dict(type="mmseg.CrossEntropyLoss"), "num_convs": 3})
    convs = model["head"].convs
    convs[2].conv = convs[1].conv
    trained(model)
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        plain = model["head"](model["backbone"](x))
        fold_norms(model)
        torch.testing.assert_close(model["head"](model["backbone"](x)), plain, rtol=1e-3, atol=1e-3)
    assert norms(model["backbone"]) == []
    assert norms(model["head"]) == [convs[1].bn, convs[2].bn]


@pytest.mark.parametrize("launcher", ["none", "pytorch"])
def test_a_test_folds_norms_of_one_and_of_several_processes(
    launcher: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a launcher the model is in a wrapper; the figures are those of the plain model."""
    cfg = tiny_training.config(tmp_path, custom_hooks=[], default_scope="mmdet")
    cfg.update(test_dataloader=cfg.train_dataloader, test_cfg=dict(type="TestLoop"))
    cfg.test_evaluator = dict(type="DumpResults", out_file_path=str(tmp_path / "results.pkl"))
    net = trained(MODELS.build(cfg.model))
    torch.save({"state_dict": net.state_dict()}, tmp_path / "net.pth")
    seen: list[tuple[bool, nn.Module]] = []

    def note(runner: Runner) -> dict[str, float]:
        seen.append((is_model_wrapper(runner.model), runner.network))
        return {"accuracy": 1.0}

    monkeypatch.setattr(Runner, "test", note)
    for name, value in dict(WORLD_SIZE=1, LOCAL_RANK=0, OMP_NUM_THREADS=1, MKL_NUM_THREADS=1).items():
        monkeypatch.setenv(name, str(value))  # mmengine would set the last two for good
    torch.distributed.init_process_group("gloo", f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        start_processes(cfg, launcher, "cpu")
        evaluate(cfg, tmp_path / "net.pth", tmp_path, console=Console(quiet=True))
    finally:
        stop_processes()
    [(wrapped, network)] = seen
    assert wrapped == (launcher == "pytorch")
    assert norms(net)
    assert norms(network) == []
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        for plain, fold in zip(net.backbone(image), network.backbone(image), strict=True):
            torch.testing.assert_close(fold, plain, rtol=1e-3, atol=1e-3)
