# YOLOv4-tiny: darknet's learning rate, with mmdet's pipeline and epochs for YOLOv3.
_base_ = [
    "yolov4-tiny.py",
    "mmdet::_base_/datasets/coco_detection.py",
    "mmdet::_base_/default_runtime.py",
]
img_scale = (416, 416)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="Expand", mean=[0, 0, 0], to_rgb=True, ratio_range=(1, 2)),
    dict(type="MinIoURandomCrop", min_ious=(0.4, 0.5, 0.6, 0.7, 0.8, 0.9), min_crop_size=0.3),
    dict(type="RandomResize", scale=[(320, 320), img_scale], keep_ratio=True),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackDetInputs"),
]
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=img_scale)
train_dataloader = dict(batch_size=8, num_workers=4, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=273, val_interval=7)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.00261, momentum=0.9, weight_decay=0.0005),
    clip_grad=dict(max_norm=35),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=1000),
    dict(type="MultiStepLR", milestones=[218, 246], gamma=0.1),
]
auto_scale_lr = dict(enable=False, base_batch_size=64)
