# From random weights, for small images and small machines: slim heads.
_base_ = ["deeplabv3plus_resnet18_scratch.py"]
from mmbackbones import pair
from mmbackbones.compose.configs import load_config

base = load_config("upernet_swin-tiny_8xb2-160k_ade20k-512x512").model
slim = dict(norm_cfg=dict(type="BN"), num_classes=19)
model = pair("swin_tiny_patch4_window7_224", neck="LevelNorm")
model.update(
    decode_head=dict(base.decode_head, **slim, channels=96, _delete_=True),
    auxiliary_head=dict(base.auxiliary_head, **slim, channels=96, _delete_=True),
)
optim_wrapper = dict(optimizer=dict(lr=5e-4), clip_grad=dict(max_norm=1))
del base, slim
