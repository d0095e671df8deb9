"""Configs of mmdet and mmseg that the tests of fitting take."""

from __future__ import annotations

FASTER = "mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco"
DEEPLAB = "mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb2-80k_cityscapes-512x1024"
