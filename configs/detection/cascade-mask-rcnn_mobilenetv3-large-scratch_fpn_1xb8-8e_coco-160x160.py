# From random weights, for small images and small machines: neck, RPN and mask heads of Mask R-CNN's.
_base_ = ["../_base_/small_masks.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(
    _base_,
    "cascade-mask-rcnn",
    "mobilenetv3_large_100",
    pretrained=False,
    out_channels=64,
    neck_cfg=dict(norm_cfg=dict(type="BN")),
)
model.update(_base_.slim)
model.update(_base_.slim_masks)
for head, stage in zip(model.roi_head.bbox_head, model.train_cfg.rcnn, strict=True):
    head.update(in_channels=64, fc_out_channels=256)
    stage.sampler.num = 64
model.rpn_head.loss_bbox = dict(type="L1Loss", loss_weight=1.0)
model.train_cfg.rpn.allowed_border = -1
del head, stage
