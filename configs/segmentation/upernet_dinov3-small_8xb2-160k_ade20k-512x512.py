_base_ = ["mmseg::swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py"]
from mmbackbones import pair

pretrained = dict(type="Pretrained", checkpoint="timm://vit_small_patch16_dinov3.lvd1689m")
model = pair("vit_small_patch16_dinov3", neck=None, init_cfg=pretrained)
model.update(decode_head=dict(in_channels=[384] * 4), auxiliary_head=dict(in_channels=384))
