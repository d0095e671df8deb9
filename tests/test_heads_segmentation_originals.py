"""Segmentors made of our parts give what the originals give, with the originals' weights."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from mmbackbones.compose.configs import find_config, load_config, walk
from mmbackbones.registry import MODELS
from mmbackbones.weights.checkpoints import by_our_names

STEM = {"0": "conv1.0", "1": "conv1.1", "3": "conv1.3", "4": "conv1.4", "6": "conv1.6", "7": "bn1"}


def build(name: str) -> nn.Module:
    """The segmentor of a config, without pretrained weights, plain batch norm for SyncBN."""
    from mmseg.registry import MODELS as SEGMENTORS

    init_default_scope("mmseg")
    model = load_config(name).model if "::" not in name else Config.fromfile(find_config(name)).model
    model.pop("pretrained", None)
    for _, node in walk(model):
        node.pop("init_cfg", None)
        if node.get("type") == "SyncBN":
            node["type"] = "BN"
    return SEGMENTORS.build(model).eval()


def shaken(net: nn.Module) -> nn.Module:
    """The net with random statistics and weights in its norms, so that none of them does nothing."""
    for name, value in (*net.named_parameters(), *net.named_buffers()):
        if value.ndim == 1 and value.is_floating_point():
            low, high = (0.5, 1.5) if "bias" not in name and "mean" not in name else (-0.2, 0.2)
            value.data.uniform_(low, high)
    return net


def logits(net: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return net(x, mode="tensor")


def count(net: nn.Module) -> int:
    return sum(value.numel() for value in net.parameters())


def take(ours: nn.Module, theirs: nn.Module, rename: dict[str, str] | None = None) -> None:
    """Load all of ``theirs`` into ``ours``, beginnings of names changed."""
    state = {}
    for name, value in theirs.state_dict().items():
        start = next((old for old in rename or {} if name.startswith(old)), "")
        state[(rename or {}).get(start, "") + name[len(start) :]] = value
    ours.load_state_dict(state)


def test_deeplabv3plus_r50_equals_mmsegs() -> None:
    theirs = shaken(build("mmseg::deeplabv3plus_r50-d8_4xb2-80k_cityscapes-512x1024"))
    ours = build("segmentation/deeplabv3plus_resnet50c-d8_4xb2-80k_cityscapes-512x1024")
    assert count(ours) == count(theirs) == 43_589_878
    stem = {f"backbone.stem.{old}.": f"backbone.{new}." for old, new in STEM.items()}
    take(ours, theirs, stem)
    x = torch.randn(2, 3, 65, 97)
    expected = logits(theirs, x)
    assert expected.std() > 1e-2
    torch.testing.assert_close(logits(ours, x), expected, atol=1e-4, rtol=0)


def test_deeplabv3plus_r101_has_mmsegs_parameters() -> None:
    ours = build("segmentation/deeplabv3plus_resnet101c-d8_4xb2-80k_cityscapes-512x1024")
    assert count(ours) == 62_582_006


def test_bisenet_r18_equals_mmsegs() -> None:
    theirs = shaken(build("mmseg::bisenetv1_r18-d32_4xb4-160k_cityscapes-1024x1024"))
    ours = build("segmentation/bisenet_resnet18_4xb4-160k_cityscapes-1024x1024")
    assert count(ours) == count(theirs) == 13_425_721
    take(ours, theirs)
    x = torch.randn(2, 3, 99, 101)
    expected = logits(theirs, x)
    assert expected.std() > 1e-2
    torch.testing.assert_close(logits(ours, x), expected, atol=1e-4, rtol=0)


def test_upernet_swin_tiny_equals_mmsegs() -> None:
    theirs = shaken(build("mmseg::swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512"))
    ours = build("segmentation/upernet_swin-tiny_8xb2-160k_ade20k-512x512")
    assert count(ours) == count(theirs) == 59_941_862
    ours.load_state_dict(by_our_names(ours, {"state_dict": theirs.state_dict()}, "theirs"))
    x = torch.randn(1, 3, 64, 96)
    expected = logits(theirs, x)
    assert expected.std() > 1e-2
    torch.testing.assert_close(logits(ours, x), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("encoder", "widths"), [("resnet18", (64, 64, 128, 256, 512))])
def test_unetplusplus_equals_segmentation_models_pytorchs(encoder: str, widths: tuple[int, ...]) -> None:
    smp = pytest.importorskip("segmentation_models_pytorch", reason="it comes with the extra dev")
    theirs = shaken(smp.UnetPlusPlus(encoder, encoder_weights=None, classes=5)).eval()
    cfg = dict(type="mmbackbones.UNetPlusPlusHead", in_channels=widths, num_classes=5, head_kernel_size=3)
    init_default_scope("mmseg")
    ours = MODELS.build(cfg).eval()
    assert count(ours) == count(theirs.decoder) + count(theirs.segmentation_head)
    state = {}
    for name, value in theirs.decoder.blocks.state_dict().items():
        node, conv, layer, *rest = name.split(".")
        depth, step = map(int, node.split("_")[1:])
        mine = "enlarged" if step == 4 else f"nodes.{3 - step}_{step + 1 - depth}"
        state[".".join([mine, str(int(conv[-1]) - 1), ("conv", "bn")[int(layer)], *rest])] = value
    for kind in ("weight", "bias"):
        state[f"conv_seg.{kind}"] = theirs.segmentation_head.state_dict()[f"0.{kind}"]
    ours.load_state_dict(state)
    maps = [torch.randn(1, c, 32 >> k, 48 >> k) for k, c in enumerate(widths)]
    with torch.no_grad():
        expected = theirs.segmentation_head(theirs.decoder([torch.empty(0), *maps]))
        torch.testing.assert_close(ours(maps), expected, atol=1e-4, rtol=0)
