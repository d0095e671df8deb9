# Hundreds of images: patch embedding and stages 1 and 2 keep their weights, the rest trains with rates
# that fall towards the image.
_base_ = ["../_base_/finetune_detection.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(
    _base_,
    "faster-rcnn",
    "swin_tiny_patch4_window7_224",
    frozen_stages=2,
    paramwise_cfg=dict(decay_rate=0.8, by="layer"),
)
