# From random weights, for small images and small machines: batch norm everywhere, slim neck and heads.
_base_ = ["mmdet::_base_/models/faster-rcnn_r50_fpn.py", "../_base_/small_scratch.py"]
from mmbackbones import pair

norm_cfg = dict(type="BN")
model = pair("mobilenetv3_large_100", neck="FPN", out_channels=64, neck_cfg=dict(norm_cfg=norm_cfg))
model.update(
    rpn_head=dict(
        in_channels=64,
        feat_channels=64,
        anchor_generator=dict(scales=[4], ratios=[0.5, 1.0, 2.0]),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=64, finest_scale=28),
        bbox_head=dict(in_channels=64, fc_out_channels=256),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=128)),
        rpn_proposal=dict(nms_pre=500, max_per_img=200),
        rcnn=dict(sampler=dict(num=64)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=500, max_per_img=200)),
)
