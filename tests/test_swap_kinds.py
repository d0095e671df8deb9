"""swap() on a config of each kind of neck and head: maps and heads keep their shapes."""

from __future__ import annotations

import runpy

import pytest

from mmbackbones.compose.configs import load_config
from mmbackbones.compose.swap import swapped

pytest.importorskip("mmdet")

#: A config of each kind, with what it has that the others have not, and what swap must have said.
KINDS = {
    "yolox/yolox_nano_8xb8-300e_coco": "neck YOLOXPAFPN: in_channels [64, 128, 256]",
    "rtmdet/rtmdet_tiny_8xb32-300e_coco": "neck CSPNeXtPAFPN: in_channels",
    "yolo/yolov3_mobilenetv2_8xb24-320-300e_coco": "in_channels [320, 96, 32] became [512, 256, 128]",
    "ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco": "out_channels",
    "yolof/yolof_r50-c5_8xb8-1x_coco": "in_channels 2048 became 512",
    "centernet/centernet_r18_8xb16-crop512-140e_coco": "resnet18 in place of ResNet",
    "hrnet/fcos_hrnetv2p-w18-gn-head_4xb4-1x_coco": "neck HRFPN: in_channels [18, 36, 72, 144]",
    "libra_rcnn/libra-retinanet_r50_fpn_1x_coco": "neck FPN: in_channels",
    "mask2former/mask2former_r50_8xb2-lsj-50e_coco": "panoptic_head.in_channels",
    "faster_rcnn/faster-rcnn_r50-caffe-c4_ms-1x_coco": "roi_head.shared_head reads 1024 channels",
    "faster_rcnn/faster-rcnn_r50-caffe-dc5_1x_coco": "roi_head.bbox_roi_extractor.out_channels",
    "soft_teacher/soft-teacher_faster-rcnn_r50-caffe_fpn_180k_semi-0.1-coco": "at detector",
    "upernet/upernet_r50_4xb2-40k_cityscapes-512x1024": "auxiliary_head.in_channels",
    "knet/knet-s3_r50-d8_fcn_8xb2-adamw-80k_ade20k-512x512": "decode_head.kernel_generate_head.in_channels",
    "ocrnet/ocrnet_hr18s_4xb2-40k_cityscapes-512x1024": "decode_head.1.in_channels",
    "point_rend/pointrend_r50_4xb2-80k_cityscapes-512x1024": "neck FPN: in_channels",
    "fastfcn/fastfcn_r50-d32_jpu_enc_4xb2-80k_cityscapes-512x1024": "neck JPU: in_channels (512, 1024, 2048)",
    "bisenetv1/bisenetv1_r18-d32_4xb4-160k_cityscapes-1024x1024": "mmbackbones.BiSeNet in place",
    "mobilenet_v3/mobilenet-v3-d8-s_lraspp_4xb4-320k_cityscapes-512x1024": "output_stride=8",
    "vit/vit_deit-s16_upernet_8xb2-80k_ade20k-512x512": "become maps of strides [16, 16, 16, 16]",
    "vit/vit_deit-s16_mln_upernet_8xb2-160k_ade20k-512x512": "MultiLevelNeck goes",
    "cgnet/cgnet_fcn_4xb4-60k_cityscapes-680x680": "decode_head.channels",
    "segmenter/segmenter_vit-s_fcn_8xb1-160k_ade20k-512x512": "decode_head.in_channels, decode_head.channels",
}
SEGMENTORS = list(KINDS)[12:]


@pytest.fixture(scope="module")
def ran(root):
    return runpy.run_path(str(root / "docs" / "swap_sweep" / "shapes.py"))["ran"]


@pytest.mark.parametrize("name", KINDS)
def test_shapes_stay_through_neck_and_heads(name: str, ran) -> None:
    scope = "mmseg" if name in SEGMENTORS else "mmdet"
    cfg = load_config(f"{scope}::{name}")
    new, notes = swapped(cfg, "resnet18", pretrained=False)
    assert KINDS[name] in " ".join(notes)
    stock, made = ran(cfg.model.to_dict(), scope), ran(new.model.to_dict(), scope)
    assert made == stock
