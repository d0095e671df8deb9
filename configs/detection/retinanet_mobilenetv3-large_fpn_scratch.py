# From random weights, for small images and small machines: slim neck and head, anchors of half the size.
_base_ = ["mmdet::_base_/models/retinanet_r50_fpn.py", "../_base_/small_scratch.py"]
from mmbackbones import pair

model = pair(
    "mobilenetv3_large_100",
    strides=(8, 16, 32),
    out_channels=64,
    neck_cfg=dict(add_extra_convs="on_input", norm_cfg=dict(type="BN")),
)
model.update(
    bbox_head=dict(
        in_channels=64,
        feat_channels=64,
        stacked_convs=2,
        norm_cfg=dict(type="GN", num_groups=8),  # the levels share the head, and batch statistics differ
        anchor_generator=dict(octave_base_scale=2),
    )
)
