"""Backbones outside OpenMMLab: torchvision's detectors and the decoders of smp train on them."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

import pytest
import torch
from own_cases import registered  # noqa: F401
from test_house import loaded_after
from torch import nn
from torchvision.models import detection

import mmbackbones
from mmbackbones import InputError

pytestmark = pytest.mark.usefixtures("registered")


def step(net: nn.Module, loss: torch.Tensor) -> None:
    """One step of training: a finite loss, and a gradient in every trainable parameter."""
    assert torch.isfinite(loss)
    loss.backward()
    trained = [(name, param) for name, param in net.named_parameters() if param.requires_grad]
    assert trained
    assert [name for name, param in trained if param.grad is None] == []
    torch.optim.SGD(net.parameters(), lr=1e-3).step()


@pytest.mark.parametrize(
    ("detector", "name", "extra_blocks", "strides"),
    [
        (detection.FasterRCNN, "resnet18", "pool", (4, 8, 16, 32)),
        (detection.RetinaNet, "dictnet", "p6p7", (8, 16, 32)),
        (detection.FCOS, "timm:test_efficientnet", "p6p7", (8, 16, 32)),
    ],
)
def test_a_detector_of_torchvision_trains(detector, name: str, extra_blocks: str, strides) -> None:
    net = mmbackbones.for_torchvision(name, out_channels=64, extra_blocks=extra_blocks, frozen_stages=1)
    assert net.body.out_strides == strides
    maps = net(torch.rand(1, 3, 128, 96))
    assert isinstance(maps, OrderedDict)
    assert len(maps) == 5
    assert {fmap.shape[1] for fmap in maps.values()} == {net.out_channels} == {64}
    assert list(maps)[: len(strides)] == [str(index) for index in range(len(strides))]
    size = dict(min_size=96, max_size=128, image_mean=net.image_mean, image_std=net.image_std)
    model = detector(net, num_classes=3, **size)
    images = [torch.rand(3, 96, 128), torch.rand(3, 80, 100)]
    targets = [dict(boxes=torch.tensor([[8.0, 8, 60, 50]]), labels=torch.tensor([1])) for _ in images]
    step(model.train(), sum(model(images, targets).values()))
    (found,) = model.eval()([torch.rand(3, 91, 67)])
    assert found.keys() == {"boxes", "labels", "scores"}


def test_frozen_stages_and_dilation_go_through_both_doors() -> None:
    net = mmbackbones.for_torchvision("dictnet", out_channels=8, frozen_stages=2, output_stride=16)
    assert net.body.out_strides == (4, 8, 16, 16)
    frozen = {name.split(".")[1] for name, param in net.named_parameters() if not param.requires_grad}
    assert frozen == {"stem", "bn", "res2", "res3"}
    assert [fmap.shape[2] for fmap in net(torch.rand(2, 3, 64, 96)).values()] == [16, 8, 4, 4, 2]
    encoder = mmbackbones.for_smp("dictnet", output_stride=8, frozen_stages=2)
    assert encoder.output_strides == [1, 2, 4, 8, 8, 8]
    assert [fmap.shape[2] for fmap in encoder(torch.rand(2, 3, 64, 96))] == [64, 32, 16, 8, 8, 8]
    assert {n.split(".")[1] for n, p in encoder.named_parameters() if not p.requires_grad} == frozen


def test_the_pyramid_is_torchvisions_own() -> None:
    theirs = detection.backbone_utils.resnet_fpn_backbone(
        backbone_name="resnet18", weights=None, norm_layer=nn.BatchNorm2d, trainable_layers=5
    ).eval()
    ours = mmbackbones.for_torchvision("torchvision:resnet18").eval()
    ours.load_state_dict(theirs.state_dict())
    x = torch.rand(1, 3, 128, 96)
    with torch.no_grad():
        got, expected = ours(x), theirs(x)
    assert got.keys() == expected.keys()
    for key, fmap in expected.items():
        torch.testing.assert_close(got[key], fmap)


def test_mean_and_std_are_the_weights_own() -> None:
    net = mmbackbones.for_torchvision("timm:vit_tiny_patch16_224", net_kwargs=dict(depth=4))
    assert net.image_mean == [0.5, 0.5, 0.5]
    with pytest.raises(InputError, match="extra_blocks='p6' is not known. Allowed: 'pool', 'p6p7', None"):
        mmbackbones.for_torchvision("resnet18", extra_blocks="p6")


@pytest.mark.parametrize(
    ("name", "channels"),
    [("resnet18", [3, 64, 64, 128, 256, 512]), ("listnet", [3, 0, 8, 16, 24, 32])],
)
def test_an_encoder_gives_the_image_and_its_maps(name: str, channels: list[int]) -> None:
    net = mmbackbones.for_smp(name)
    assert net.out_channels == channels
    assert (net.output_stride, net.output_strides) == (32, [1, 2, 4, 8, 16, 32])
    maps = net(torch.rand(2, 3, 64, 98))
    assert [fmap.shape[1] for fmap in maps] == channels
    assert [tuple(fmap.shape[2:]) for fmap in maps[1:4]] == [(32, 49), (16, 25), (8, 13)]
    net.set_in_channels(4)
    assert [fmap.shape[1] for fmap in net(torch.rand(1, 4, 64, 64))] == [4, *channels[1:]]
    shallow = mmbackbones.for_smp(name, depth=3)
    assert shallow.output_stride == 8
    assert len(shallow(torch.rand(1, 3, 64, 64))) == 4


@pytest.mark.parametrize(
    ("model", "name", "arguments"),
    [
        ("Unet", "listnet", {}),
        ("FPN", "timm:test_efficientnet", {}),
        ("DeepLabV3Plus", "dictnet", dict(encoder_output_stride=16)),
        ("PSPNet", "logitsnet", dict(encoder_depth=3, in_channels=4)),
    ],
)
def test_a_decoder_of_smp_trains(model: str, name: str, arguments: dict) -> None:
    smp = pytest.importorskip("segmentation_models_pytorch", reason="comes with the extra dev")
    smp.encoders.encoders["ours"] = dict(encoder=partial(mmbackbones.for_smp, name), params={})
    try:
        net = getattr(smp, model)("ours", encoder_weights=None, classes=4, **arguments)
    finally:
        del smp.encoders.encoders["ours"]
    masks = net.train()(torch.rand(2, arguments.get("in_channels", 3), 64, 96))
    assert masks.shape == (2, 4, 64, 96)
    step(net, masks.square().mean())


def test_encoders_that_cannot_be_are_refused() -> None:
    with pytest.raises(InputError, match="'squeezenet1_1' has no map at stride 32, the last of depth=5"):
        mmbackbones.for_smp("squeezenet1_1")
    with pytest.raises(InputError, match=r"depth=6 is not one of \(3, 4, 5\)"):
        mmbackbones.for_smp("resnet18", depth=6)
    with pytest.raises(InputError, match="out_indices=.*: depth=5 says which maps"):
        mmbackbones.for_smp("resnet18", out_indices=(0, 1))


def test_nothing_of_openmmlab_but_mmengine_is_imported() -> None:
    names = ["mmdet", "mmseg", "mmcv", "segmentation_models_pytorch"]
    code = f"""
import sys
sys.modules.update(dict.fromkeys({names}))  # as if they were not installed
import torch
import mmbackbones as m
x = torch.rand(2, 3, 64, 64)
for net in (m.build("resnet18"), m.for_torchvision("resnet18"), m.for_smp("resnet18")):
    maps = net(x)
    sum(fmap.mean() for fmap in (maps.values() if isinstance(maps, dict) else maps)).backward()
    assert next(net.parameters()).grad is not None
for name in {names}:
    assert sys.modules.pop(name) is None
"""
    assert loaded_after(code, [*names, "mmengine"]) == ["mmengine"]
