# Tens of thousands of images: everything trains, for 80k iterations, on images changed by RandAugment.
_base_ = ["finetune_segmentation.py"]
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
