# A linear classifier of each cell of the frozen backbone's last map.
_base_ = ["upernet_dinov2-small_8xb2-160k_ade20k-512x512.py"]
from mmbackbones import pair

pretrained = dict(type="Pretrained", checkpoint="timm://vit_small_patch14_dinov2.lvd142m")
model = pair("vit_small_patch14_dinov2", neck=None, strides=(16,), frozen_stages=4, init_cfg=pretrained)
model.update(
    decode_head=dict(_delete_=True, type="mmbackbones.LinearHead", in_channels=384, num_classes=150),
    auxiliary_head=None,
)
optim_wrapper = dict(optimizer=dict(lr=1e-3, weight_decay=1e-4))
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type="PolyLR", eta_min=0.0, power=1.0, begin=1500, end=40000, by_epoch=False),
]
train_cfg = dict(max_iters=40000)
