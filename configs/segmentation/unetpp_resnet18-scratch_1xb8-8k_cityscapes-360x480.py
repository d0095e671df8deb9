# From random weights, for small images and small machines.
_base_ = ["../_base_/small_segmentation.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "unetpp", "resnet18", pretrained=False, norm_cfg=None)
model.data_preprocessor.size = (360, 480)
model.decode_head.update(decoder_channels=(128, 64, 64, 32), norm_cfg=dict(type="BN"))
