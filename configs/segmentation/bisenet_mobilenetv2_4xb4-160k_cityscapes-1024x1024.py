_base_ = ["bisenet_resnet18_4xb4-160k_cityscapes-1024x1024.py"]
from mmbackbones import pair

norm_cfg = dict(type="SyncBN")
pretrained = dict(type="Pretrained", checkpoint="timm://mobilenetv2_100.ra_in1k")
model = pair("mobilenetv2_100", neck=None, strides=(16, 32), norm_cfg=norm_cfg, init_cfg=pretrained)
model["backbone"] = dict(backbone_cfg=model["backbone"])
