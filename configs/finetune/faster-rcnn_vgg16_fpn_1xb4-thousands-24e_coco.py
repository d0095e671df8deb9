# Thousands of images: the first third of the layers keeps its weights, learning rate 1e-4.
_base_ = ["../_base_/finetune_detection.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(
    _base_,
    "faster-rcnn",
    "vgg16",
    pretrained="torchvision://vgg16.IMAGENET1K_V1",
    frozen_fraction=1 / 3,
    paramwise_cfg={},
)
