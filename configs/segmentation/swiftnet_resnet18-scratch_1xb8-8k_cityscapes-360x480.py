# From random weights, for small images and small machines.
_base_ = ["../_base_/small_segmentation.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "swiftnet", "resnet18", pretrained=False)
model.data_preprocessor.size = (360, 480)
del model.decode_head.spp_norm_cfg
