# ResNet's maps before the last ReLU of each stage (arXiv 1903.08469).
_base_ = ["../_base_/swiftnet_cityscapes.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "swiftnet", "resnet18", pretrained="torchvision://resnet18")
