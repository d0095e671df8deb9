# Tens of thousands of images: everything trains, on images changed by RandAugment. Batches of a few large
# images are too small for batch statistics: those of ImageNet stay.
_base_ = ["../_base_/finetune_detection.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "faster-rcnn", "efficientnet_b0", frozen_stages=None)
train_pipeline = [
    *_base_.train_pipeline[:-1],
    dict(type="mmbackbones.RandAugment", num_ops=2, magnitude=5),
    _base_.train_pipeline[-1],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
