# From random weights, for small images and small machines: slim neck and head, anchors of half the size.
_base_ = ["../_base_/small_detection.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(
    _base_,
    "retinanet",
    "mobilenetv3_large_100",
    pretrained=False,
    out_channels=64,
    neck_cfg=dict(norm_cfg=dict(type="BN")),
)
model.bbox_head.update(
    in_channels=64,
    feat_channels=64,
    stacked_convs=2,
    norm_cfg=dict(type="GN", num_groups=8),  # the levels share the head, and batch statistics differ
    anchor_generator=dict(octave_base_scale=2),
)
