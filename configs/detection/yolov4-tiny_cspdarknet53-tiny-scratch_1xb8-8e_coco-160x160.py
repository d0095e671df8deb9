# From random weights, for small images and small machines: anchors of half the size.
_base_ = ["../_base_/small_detection.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "yolov4-tiny", "cspdarknet53_tiny")
model.bbox_head.anchor_generator = dict(
    type="YOLOAnchorGenerator",
    base_sizes=[[(40, 41), (68, 84), (172, 160)], [(12, 14), (18, 29), (40, 41)]],
    strides=[32, 16],
)
