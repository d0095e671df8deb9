"""To the same ResNet with copied weights: same losses, same predictions."""

from __future__ import annotations

import pytest
import swap_proof

from mmbackbones.compose.configs import load_config

pytest.importorskip("mmdet")

CASES = {
    "FPN": "mmdet::retinanet/retinanet_r50_fpn_1x_coco",
    "DilatedEncoder": "mmdet::yolof/yolof_r50-c5_8xb8-1x_coco",
    "dilated, c1, auxiliary": "mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb2-80k_cityscapes-512x1024",
    "ChannelMapper": "mmdet::detr/detr_r50_8xb2-150e_coco",
}


@pytest.mark.parametrize("case", CASES)
def test_nothing_but_the_backbone_changed(case: str) -> None:
    assert swap_proof.difference(load_config(CASES[case]))[0] <= 1e-5


def test_the_proof_sees_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    twins = swap_proof.twins

    def spoilt(cfg, side):
        old, new = twins(cfg, side)
        new.backbone.layer4[0].conv1.weight.data *= 1.01
        return old, new

    def fails(model, batch):
        raise RuntimeError("masks cannot be pasted")

    monkeypatch.setattr(swap_proof, "twins", spoilt)
    monkeypatch.setitem(swap_proof.PARTS, "predictions", (fails, "pred"))
    found = swap_proof.difference(load_config(CASES["DilatedEncoder"]))
    assert found.largest > 1e-5
    assert found.count == 2  # its losses alone, where stock predicts nothing
    assert found.lacking == {"predictions": "RuntimeError: masks cannot be pasted"}
