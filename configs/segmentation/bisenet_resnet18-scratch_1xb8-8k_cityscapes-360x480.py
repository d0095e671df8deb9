# From random weights, for small images and small machines.
_base_ = ["../_base_/small_segmentation.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "bisenet", "resnet18", pretrained=False, norm_cfg=None)
model.data_preprocessor.size = (360, 480)
model.backbone.norm_cfg = dict(type="BN")
for head in (model.decode_head, *model.auxiliary_head):
    head.norm_cfg = dict(type="BN")
del head
