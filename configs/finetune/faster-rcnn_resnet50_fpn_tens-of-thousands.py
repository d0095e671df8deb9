# Tens of thousands of images: everything trains, on images changed by RandAugment. Batches of a few large
# images are too small for batch statistics: those of ImageNet stay.
_base_ = ["../_base_/finetune_detection.py"]
from mmbackbones import pair

pretrained = dict(type="Pretrained", checkpoint="torchvision://resnet50.IMAGENET1K_V2")
model = pair("resnet50", norm_eval=True, init_cfg=pretrained)
train_pipeline = [
    *_base_.train_pipeline[:-1],
    dict(type="mmbackbones.RandAugment", num_ops=2, magnitude=5),
    _base_.train_pipeline[-1],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
