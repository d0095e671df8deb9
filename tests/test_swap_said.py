"""What swap says of a config that was swapped before, of its optimiser, and of a module that is not there."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config
from torch import Tensor, nn

import mmbackbones
from mmbackbones.cli import main
from mmbackbones.compose.configs import load_config
from mmbackbones.compose.swap import swapped
from mmbackbones.errors import InputError

pytest.importorskip("mmdet")

FASTER = "mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco"


def model(backbone: dict) -> dict:
    neck = dict(type="FPN", in_channels=[64, 128, 256, 512], out_channels=8, num_outs=5)
    head = dict(type="RPNHead", in_channels=8, feat_channels=8)
    return dict(type="RPN", backbone=backbone, neck=neck, rpn_head=head)


def test_a_net_outside_the_catalog_is_called_by_its_name() -> None:
    old = dict(type="mmbackbones.Backbone", name="timm:resnet10t", frozen_stages=1)
    notes = swapped(Config(dict(default_scope="mmdet", model=model(old))), "resnet18")[1]
    assert notes[0] == "resnet18 in place of timm:resnet10t."
    assert "Gone with timm:resnet10t: frozen_stages=1." in notes


def test_the_rate_of_another_optimiser_is_said() -> None:
    cfg, notes = swapped(load_config(FASTER), "swin_tiny", pretrained=False)
    assert cfg.optim_wrapper.optimizer.lr == 1e-4
    assert "AdamW with lr=0.0001 for 16 images, since the backbone has no batch norm." in notes


def test_whose_mean_and_std_they_are_is_said() -> None:
    given = swapped(load_config(FASTER), "resnet18", weights="timm://resnet18.a1_in1k")[1]
    assert any(
        note.startswith("Images: ") and note.endswith(", as the weights were trained.") for note in given
    )
    random = swapped(load_config(FASTER), "resnet18", pretrained=False)[1]
    said = "as resnet18's usual weights take them; random weights take others as well."
    assert any(note.startswith("Images: ") and note.endswith(said) for note in random)
    weightless = swapped(load_config(FASTER), "zfnet")[1]
    assert any("RGB, as usual for ImageNet; random weights" in note for note in weightless)


def test_swapped_twice_the_rates_of_the_parts_stay() -> None:
    """Of what layer decay said the layers go, which were the old backbone's, and no more."""
    base = load_config("mmdet::dino/dino-4scale_r50_8xb2-12e_coco")
    there = mmbackbones.swap(base, "convnext_tiny")
    back = mmbackbones.swap(there, "resnet18").optim_wrapper
    assert back == base.optim_wrapper
    assert back.paramwise_cfg.custom_keys.backbone.lr_mult == 0.1


def test_a_module_that_is_not_there_is_named(tmp_path: Path) -> None:
    file = tmp_path / "my.py"
    file.write_text(f"custom_imports = dict(imports=['nosuchnet.models'])\nmodel = {model({})!r}\n")
    said = r"my.py cannot be read: it imports 'nosuchnet', which is not found\. .*pip install nosuchnet; "
    with pytest.raises(InputError, match=said):
        load_config(str(file))


def test_a_model_without_a_row_is_left_to_swap(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["config", "--model", "dino", "--backbone", "resnet18"])
    assert "mmbackbones swap CONFIG --backbone NAME" in " ".join(capsys.readouterr().err.split())


def test_a_neck_without_in_channels_is_not_changed_and_that_is_said() -> None:
    from mmdet.registry import MODELS

    @MODELS.register_module()
    class NeckOfWidths(nn.Module):
        def __init__(self, widths: list[int]) -> None:
            super().__init__()
            self.convs = nn.ModuleList(nn.Conv2d(width, 256, 1) for width in widths)

        def forward(self, maps: list[Tensor]) -> tuple[Tensor, ...]:
            return tuple(conv(one) for conv, one in zip(self.convs, maps, strict=True))

    cfg = load_config(FASTER)
    cfg.model.neck = dict(type="NeckOfWidths", widths=[256, 512, 1024, 2048])
    with pytest.raises(InputError, match="No in_channels of NeckOfWidths has the old maps' .* give it that"):
        mmbackbones.swap(cfg, "resnet18")


def test_groups_that_a_neck_would_take_are_named() -> None:
    """Maps of MobileNetV3's 40, 112 and 960 channels have no 8 groups; those said are tried."""
    cfg = load_config("mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco")
    cfg.model.neck.norm_cfg = dict(type="GN", num_groups=8)
    with pytest.raises(
        InputError, match=r"must be divisible by num_groups.*Write num_groups=4 into the norm_cfg"
    ):
        mmbackbones.swap(cfg, "mobilenetv3_large_100")
    cfg.model.neck.norm_cfg.num_groups = 4
    assert mmbackbones.swap(cfg, "mobilenetv3_large_100").model.neck.in_channels == [40, 112, 960]
