# SwiftNet, single scale (arXiv 1903.08469).
_base_ = [
    "mmseg::_base_/datasets/cityscapes_768x768.py",
    "mmseg::_base_/default_runtime.py",
    "mmseg::_base_/schedules/schedule_40k.py",
]
model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(type="SegDataPreProcessor", pad_val=0, seg_pad_val=255, size=(768, 768)),
    backbone=dict(type="mmbackbones.PreActivationBackbone", name="resnet18"),
    decode_head=dict(
        type="mmbackbones.SwiftNetHead",
        in_channels=[64, 128, 256, 512],
        spp_norm_cfg=dict(type="BN", momentum=0.005),
        num_classes=19,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
train_dataloader = dict(batch_size=14)
# Pretrained weights learn at a quarter of the rate, and decay as much less.
optim_wrapper = dict(
    _delete_=True,
    type="OptimWrapper",
    optimizer=dict(type="Adam", lr=4e-4, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.25, decay_mult=0.25))),
)
param_scheduler = [dict(type="CosineAnnealingLR", T_max=40000, eta_min=1e-6, by_epoch=False)]
auto_scale_lr = dict(enable=False, base_batch_size=14)
