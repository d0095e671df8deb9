# Fine-tuning of a segmenter: mmseg's pipelines for ADE20K, AdamW, batches of 8 crops, 20k iterations;
# without a model.
_base_ = [
    "mmseg::_base_/datasets/ade20k.py",
    "mmseg::_base_/schedules/schedule_20k.py",
    "mmseg::_base_/default_runtime.py",
]
train_dataloader = dict(batch_size=8)
optim_wrapper = dict(
    _delete_=True,
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-4, weight_decay=0.05),
    clip_grad=dict(max_norm=10),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=500),
    dict(type="PolyLR", eta_min=1e-6, power=0.9, begin=500, end=20000, by_epoch=False),
]
auto_scale_lr = dict(enable=False, base_batch_size=8)
