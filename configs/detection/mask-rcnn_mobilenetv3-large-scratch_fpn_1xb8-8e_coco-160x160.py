# From random weights, for small images and small machines.
_base_ = ["../_base_/small_masks.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(
    _base_,
    "mask-rcnn",
    "mobilenetv3_large_100",
    pretrained=False,
    out_channels=64,
    neck_cfg=dict(norm_cfg=dict(type="BN")),
)
model.update(_base_.slim)
model.update(_base_.slim_masks)
model.roi_head.bbox_head.update(in_channels=64, fc_out_channels=256)
model.train_cfg.rcnn.sampler.num = 64
model.train_cfg.rcnn.assigner.match_low_quality = False
