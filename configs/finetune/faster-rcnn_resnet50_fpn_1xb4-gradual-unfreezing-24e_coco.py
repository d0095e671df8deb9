# Any number of images, far from ImageNet's: first neck and heads train, then stage 4 too, then stage 3 ...
# each with a lower rate than what is above it.
_base_ = ["../_base_/finetune_detection.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(
    _base_,
    "faster-rcnn",
    "resnet50",
    pretrained="torchvision://resnet50.IMAGENET1K_V2",
    frozen_stages=4,
    paramwise_cfg=dict(decay_rate=0.7, by="stage"),
)
custom_hooks = [dict(type="mmbackbones.UnfreezeHook", schedule={4: 3, 8: 2, 12: 1, 16: -1})]
