# From random weights, for small images and small machines: batch norm everywhere, slim neck and heads.
_base_ = ["../_base_/small_detection.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(
    _base_,
    "faster-rcnn",
    "mobilenetv3_large_100",
    pretrained=False,
    out_channels=64,
    neck_cfg=dict(norm_cfg=dict(type="BN")),
)
model.update(_base_.slim)
model.roi_head.bbox_head.update(in_channels=64, fc_out_channels=256)
model.train_cfg.rcnn.sampler.num = 64
