# From random weights, for small images and small machines: anchors of half the size.
_base_ = ["../_base_/yolov4-tiny.py", "../_base_/small_scratch.py"]
from mmbackbones.compose.detectors import yolov4_tiny

model = yolov4_tiny("cspdarknet53_tiny")
model["bbox_head"]["anchor_generator"] = dict(
    type="YOLOAnchorGenerator",
    base_sizes=[[(40, 41), (68, 84), (172, 160)], [(12, 14), (18, 29), (40, 41)]],
    strides=[32, 16],
)
