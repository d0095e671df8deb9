# A foundation model as it is: only pyramid, neck and heads train, and the backbone costs no backward pass.
_base_ = ["../_base_/finetune_detection.py"]
from mmbackbones import pair

pretrained = dict(type="Pretrained", checkpoint="timm://vit_small_patch14_dinov2.lvd142m")
model = pair("vit_small_patch14_dinov2", neck="SimpleFeaturePyramid", frozen_stages=4, init_cfg=pretrained)
