# A linear classifier of each cell of the last map.
_base_ = ["mmseg::swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py"]
model = dict(
    backbone=dict(_delete_=True, type="mmbackbones.resnet50", out_strides=(32,)),
    decode_head=dict(
        _delete_=True,
        type="mmbackbones.LinearHead",
        in_channels=2048,
        num_classes=150,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
    auxiliary_head=None,
)
# Swin's rules for its modules go.
optim_wrapper = dict(optimizer=dict(lr=1e-3, weight_decay=1e-4), paramwise_cfg=dict(_delete_=True))
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type="PolyLR", eta_min=0.0, power=1.0, begin=1500, end=40000, by_epoch=False),
]
train_cfg = dict(max_iters=40000)
