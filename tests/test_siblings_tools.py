"""mmdet's and mmseg's own tools train our backbones; the configs import nothing of ours."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from autoload import FIRST
from cases import swept

from mmbackbones.data.shapes import CLASSES, write_shapes

DETECTION = f"""
_base_ = ["mmdet::_base_/models/faster-rcnn_r50_fpn.py", "mmdet::_base_/default_runtime.py"]
model = dict(
    backbone=dict(_delete_=True, type="mmbackbones.mobilenetv3_small_100", frozen_stages=0),
    neck=dict(type="mmbackbones.FPN", in_channels=[16, 24, 48, 576], out_channels=32),
    rpn_head=dict(in_channels=32, feat_channels=32),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=32),
        bbox_head=dict(in_channels=32, fc_out_channels=32, num_classes={len(CLASSES)}),
    ),
)
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="CocoDataset",
        data_root="DATA",
        ann_file="train.json",
        data_prefix=dict(img="images/"),
        metainfo=dict(classes={CLASSES}),
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations", with_bbox=True),
            dict(type="PackDetInputs"),
        ],
    ),
)
"""
SEGMENTATION = f"""
_base_ = ["mmseg::_base_/models/deeplabv3plus_r50-d8.py", "mmseg::_base_/default_runtime.py"]
model = dict(
    pretrained=None,
    data_preprocessor=dict(size=(64, 64)),
    backbone=dict(_delete_=True, type="mmbackbones.resnet18", output_stride=16, norm_cfg=dict(type="SyncBN")),
    decode_head=dict(in_channels=512, c1_in_channels=64, channels=32, num_classes={len(CLASSES) + 1}),
    auxiliary_head=dict(in_channels=256, channels=32, num_classes={len(CLASSES) + 1}),
)
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="BaseSegDataset",
        data_root="DATA",
        data_prefix=dict(img_path="images/train", seg_map_path="labels/train"),
        metainfo=dict(classes={("background", *CLASSES)}),
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations"),
            dict(type="PackSegInputs"),
        ],
    ),
)
"""
RUN = """
train_cfg = dict(by_epoch=True, max_epochs=1)
optim_wrapper = dict(optimizer=dict(type="SGD", lr=0.001))
default_hooks = dict(
    logger=dict(type="LoggerHook", interval=1), checkpoint=dict(type="CheckpointHook", interval=1)
)
log_processor = dict(by_epoch=True)
"""
AS_SCRIPT = "import runpy, sys; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"


@pytest.mark.parametrize(
    ("package", "config", "key"),
    [
        ("mmdet", DETECTION, "neck.lateral_convs.3.conv.weight"),
        pytest.param(
            "mmseg", SEGMENTATION, "backbone.layer4.0.conv1.weight", marks=swept("a second cold process")
        ),
    ],
)
def test_train(package: str, config: str, key: str, tmp_path: Path) -> None:
    data = write_shapes(tmp_path / "data", train=2, val=1, size=(64, 64))
    path = tmp_path / "config.py"
    path.write_text(config.replace("DATA", str(data)) + RUN)
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.origin is not None
    tool = Path(found.origin).parent / ".mim/tools/train.py"
    work = tmp_path / "work"
    start = ["-c", f"{FIRST}{AS_SCRIPT}", tool] if FIRST else [tool]
    words = [sys.executable, *start, path, "--work-dir", work]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (log,) = work.glob("*/vis_data/scalars.json")
    loss = json.loads(log.read_text().splitlines()[0])["loss"]
    assert 0 < loss < 100
    state = torch.load(work / "epoch_1.pth", weights_only=False)["state_dict"]  # our own file of just now
    assert key in state
