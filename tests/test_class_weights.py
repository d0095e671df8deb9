"""Weighted cross entropy beside ignored pixels, as a value and as --class-balance puts it into heads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from fit_cases import DEEPLAB
from head_cases import build
from mmengine.structures import PixelData

from mmbackbones import InputError
from mmbackbones.compose.configs import load_config
from mmbackbones.compose.extras import weigh_classes
from mmbackbones.compose.fit import Settings, fit
from mmbackbones.compose.models import MODELS

WEIGHTS = [0.5, 1.0, 10.0]
LOSS = dict(type="mmbackbones.WeightedCrossEntropyLoss", class_weight=WEIGHTS)


def labels_with_void() -> torch.Tensor:
    return torch.tensor([0, 1, 2, 255]).repeat(2, 6, 5)


@pytest.mark.parametrize("void", [[0], [1, 2, 3], []])
def test_the_mean_is_torchs(void: list[int]) -> None:
    logits = torch.randn(2, 3, 6, 20, requires_grad=True)
    target = torch.arange(4).repeat(2, 6, 5) % 3
    for column in void:
        target[..., column::4] = 255
    found = build(LOSS)(logits, target, ignore_index=255)
    torch.testing.assert_close(
        found, F.cross_entropy(logits, target, torch.tensor(WEIGHTS), ignore_index=255)
    )
    found.backward()
    assert not logits.grad[..., void].any()


def test_what_else_the_loss_is_asked_for() -> None:
    loss, logits, target = build({**LOSS, "loss_weight": 0.4}), torch.randn(2, 3, 6, 20), labels_with_void()
    each = F.cross_entropy(logits, target, torch.tensor(WEIGHTS), ignore_index=255, reduction="none")
    pixels = loss(logits, target, reduction_override="none", ignore_index=255)
    torch.testing.assert_close(pixels, 0.4 * each)
    torch.testing.assert_close(loss(logits, target, avg_factor=7, ignore_index=255), 0.4 * each.sum() / 7)
    chosen = (torch.arange(20) < 9).expand(2, 6, 20)  # as a sampler does, with the mean over all
    found = loss(logits, target, weight=chosen, ignore_index=255)
    by = torch.tensor([*WEIGHTS, 0.0])[target.clamp(max=3)].sum()
    torch.testing.assert_close(found, 0.4 * (each * chosen).sum() / by)
    half = loss(logits.bfloat16(), target, ignore_index=255)
    torch.testing.assert_close(half.float(), loss(logits, target, ignore_index=255), rtol=0.02, atol=0)
    assert loss(logits, torch.full_like(target, 255), ignore_index=255) == 0  # and not NaN, as torch's
    with pytest.raises(InputError, match="without use_sigmoid or use_mask"):
        build({**LOSS, "use_sigmoid": True})


def test_heads_train_on_labels_with_void(labelled: Path, tmp_path: Path) -> None:
    from mmseg.structures import SegDataSample

    cfg, target, logits = load_config(DEEPLAB), labels_with_void(), torch.randn(2, 3, 6, 20)
    for _ in range(2):  # a config that has been fitted is fitted again
        fit(cfg, Settings(labelled, epochs=1, class_balance=True), cache_dir=tmp_path / "cache")
    samples = [SegDataSample(gt_sem_seg=PixelData(data=one[None])) for one in target]
    for node in (cfg.model.decode_head, cfg.model.auxiliary_head):
        head = build({**node, **{key: 8 for key in node if key.endswith("channels")}})
        weights = torch.tensor(node.loss_decode.class_weight)
        wanted = F.cross_entropy(logits, target, weights, ignore_index=255) * node.loss_decode.loss_weight
        torch.testing.assert_close(head.loss_by_feat(logits, samples)["loss_ce"], wanted)


@pytest.mark.parametrize("name", [name for name, model in MODELS.items() if model.task == "segmentation"])
def test_every_model_that_labels_pixels_is_weighed(name: str) -> None:
    cfg = load_config(MODELS[name].base)
    if "num_queries" in cfg.model.decode_head:  # a class of each mask, not of each pixel
        with pytest.raises(InputError, match="no CrossEntropyLoss over the classes"):
            weigh_classes(cfg, ("road", "car"), (0.5, 0.1))
    else:
        weigh_classes(cfg, ("road", "car"), (0.5, 0.1))
        assert cfg.model.decode_head.loss_decode.class_weight == [1.0, 5.0]
