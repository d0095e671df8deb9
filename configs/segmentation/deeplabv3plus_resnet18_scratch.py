# From random weights, for small images and small machines: output stride 16, slim head.
_base_ = ["deeplabv3plus_resnet50_4xb2-80k_cityscapes-512x1024.py"]
from mmbackbones import pair

norm_cfg = dict(type="BN")
model = pair("resnet18", neck=None, output_stride=16)
model["data_preprocessor"]["size"] = (360, 480)
model.update(
    decode_head=dict(
        in_channels=512,
        channels=128,
        dilations=(1, 6, 12, 18),
        c1_in_channels=64,
        c1_channels=32,
        norm_cfg=norm_cfg,
    ),
    auxiliary_head=None,
)
img_scale = (480, 360)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="RandomResize", scale=img_scale, ratio_range=(0.75, 1.5), keep_ratio=True),
    dict(type="RandomCrop", crop_size=img_scale[::-1], cat_max_ratio=0.9),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=img_scale, keep_ratio=True),
    dict(type="LoadAnnotations"),
    dict(type="PackSegInputs"),
]
train_dataloader = dict(
    batch_size=8, num_workers=0, persistent_workers=False, dataset=dict(pipeline=train_pipeline)
)
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
optim_wrapper = dict(
    _delete_=True,
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.01),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type="PolyLR", eta_min=1e-5, power=0.9, begin=100, end=8000, by_epoch=False),
]
train_cfg = dict(max_iters=8000, val_interval=800)
auto_scale_lr = dict(enable=False, base_batch_size=8)
