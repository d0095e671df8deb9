_base_ = ["../_base_/swiftnet-s8_cityscapes.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "swiftnet-s8", "shufflenet_v2_x1_0")
