_base_ = ["../_base_/unetpp_cityscapes.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "unetpp", "resnet50", pretrained="torchvision://resnet50")
