# Thousands of images: the first third of the layers keeps its weights, learning rate 1e-4. Batches of a few
# large images are too small for batch statistics: those of ImageNet stay.
_base_ = ["../_base_/finetune_detection.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(
    _base_,
    "faster-rcnn",
    "densenet121",
    pretrained="torchvision://densenet121.IMAGENET1K_V1",
    frozen_fraction=1 / 3,
)
