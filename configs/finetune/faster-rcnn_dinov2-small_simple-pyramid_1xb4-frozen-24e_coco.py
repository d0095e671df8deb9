# A foundation model as it is: only pyramid, neck and heads train, and the backbone costs no backward pass.
_base_ = ["../_base_/finetune_detection.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "faster-rcnn", "vit_small_patch14_dinov2", frozen_stages=4)
