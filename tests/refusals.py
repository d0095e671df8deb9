"""What the tests of bad input at the command share: a small detector's config, and what is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmbackbones.cli import main

R18 = [64, 128, 256, 512]
MODEL: dict[str, Any] = dict(
    type="RetinaNet",
    data_preprocessor=dict(type="DetDataPreprocessor"),
    backbone=dict(type="ResNet", depth=18),
    neck=dict(type="FPN", in_channels=R18, out_channels=8, num_outs=5, start_level=1),
    bbox_head=dict(type="RetinaHead", num_classes=3, in_channels=8, feat_channels=8, stacked_convs=1),
    train_cfg=dict(
        assigner=dict(type="MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0),
        sampler=dict(type="PseudoSampler"),
        allowed_border=-1,
        pos_weight=-1,
        debug=False,
    ),
    test_cfg=dict(nms=dict(type="nms", iou_threshold=0.5), max_per_img=5),
)
BASES = [f"mmdet::_base_/{name}.py" for name in ("default_runtime", "datasets/coco_detection")]
BASES.append("mmdet::_base_/schedules/schedule_1x.py")


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """What the command says on standard error."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    shown = capsys.readouterr()
    assert end.value.code == 2, shown
    assert "Traceback" not in shown.out + shown.err
    return shown.err


def config(path: Path, bases: list[str] = [], **model: Any) -> Path:  # noqa: B006
    path.write_text(f"_base_ = {bases}\ndefault_scope = 'mmdet'\nmodel = {model!r}\n")
    return path
