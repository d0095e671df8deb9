_base_ = ["linear_dinov2-small_8xb2-40k_ade20k-512x512.py"]
from mmbackbones import pair

pretrained = dict(type="Pretrained", checkpoint="timm://vit_small_patch16_dinov3.lvd1689m")
model = pair("vit_small_patch16_dinov3", neck=None, strides=(16,), frozen_stages=4, init_cfg=pretrained)
