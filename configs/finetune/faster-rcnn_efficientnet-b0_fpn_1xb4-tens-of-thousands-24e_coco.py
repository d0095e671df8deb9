# Tens of thousands of images: everything trains, on images changed by RandAugment. Batches of a few large
# images are too small for batch statistics: those of ImageNet stay.
_base_ = ["../_base_/finetune_detection_tens-of-thousands.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "faster-rcnn", "efficientnet_b0", frozen_stages=None)
