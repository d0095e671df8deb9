# Tens of thousands of images: everything trains, for 80k iterations, on images changed by RandAugment.
_base_ = ["../_base_/finetune_segmentation.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(
    _base_, "deeplabv3plus", "resnet50", pretrained="torchvision://resnet50.IMAGENET1K_V2", output_stride=16
)
model.data_preprocessor.size = (512, 512)
model.decode_head.num_classes = model.auxiliary_head.num_classes = 150
train_pipeline = [
    *_base_.train_pipeline[:-2],  # without PhotoMetricDistortion, whose operations RandAugment has
    dict(type="mmbackbones.RandAugment", num_ops=2, magnitude=5),
    _base_.train_pipeline[-1],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
train_cfg = dict(max_iters=80000, val_interval=8000)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=500),
    dict(type="PolyLR", eta_min=1e-6, power=0.9, begin=500, end=80000, by_epoch=False),
]
