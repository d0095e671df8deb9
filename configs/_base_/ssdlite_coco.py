# SSDLite; the schedule is mmdet's, and about torchvision's.
_base_ = [
    "ssdlite.py",
    "mmdet::_base_/datasets/coco_detection.py",
    "mmdet::_base_/default_runtime.py",
]
img_scale = (320, 320)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="Expand", mean=[127.5, 127.5, 127.5], to_rgb=True, ratio_range=(1, 4)),
    dict(type="MinIoURandomCrop", min_ious=(0.1, 0.3, 0.5, 0.7, 0.9), min_crop_size=0.3),
    dict(type="Resize", scale=img_scale, keep_ratio=False),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackDetInputs"),
]
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=img_scale, keep_ratio=False)
train_dataloader = dict(
    batch_size=24, num_workers=4, batch_sampler=None, dataset=dict(pipeline=train_pipeline)
)
val_dataloader = dict(batch_size=8, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
max_epochs = 600
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=max_epochs, val_interval=20)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper", optimizer=dict(type="SGD", lr=0.015, momentum=0.9, weight_decay=4e-5)
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type="CosineAnnealingLR", T_max=max_epochs, eta_min=0),
]
auto_scale_lr = dict(enable=False, base_batch_size=192)
