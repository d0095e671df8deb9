_base_ = ["bisenet_resnet18_4xb4-160k_cityscapes-1024x1024.py"]
from mmbackbones import pair

norm_cfg = dict(type="SyncBN")
pretrained = dict(type="Pretrained", checkpoint="torchvision://shufflenet_v2_x1_0.IMAGENET1K_V1")
model = pair("shufflenet_v2_x1_0", neck=None, strides=(16, 32), norm_cfg=norm_cfg, init_cfg=pretrained)
model["backbone"] = dict(backbone_cfg=model["backbone"])
