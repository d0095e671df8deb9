# Fine-tuning of a detector: mmdet's pipelines, AdamW, batches of 4 images, 24 epochs; without a model.
_base_ = [
    "mmdet::_base_/datasets/coco_detection.py",
    "mmdet::_base_/schedules/schedule_1x.py",
    "mmdet::_base_/default_runtime.py",
]
train_dataloader = dict(batch_size=4)
optim_wrapper = dict(
    _delete_=True,
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-4, weight_decay=0.05),
    clip_grad=dict(max_norm=10),
)
max_epochs = 24
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=500),
    dict(type="CosineAnnealingLR", T_max=max_epochs, eta_min=1e-6, convert_to_iter_based=True),
]
auto_scale_lr = dict(enable=False, base_batch_size=4)
