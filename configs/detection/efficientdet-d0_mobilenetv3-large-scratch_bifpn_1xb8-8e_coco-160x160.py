# From random weights, for small images and small machines.
_base_ = ["../_base_/small_detection.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "efficientdet-d0", "mobilenetv3_large_100", pretrained=False)
# The original's momentum of 0.01 needs longer trainings.
model.neck.norm_cfg = model.bbox_head.norm_cfg = dict(type="BN")
