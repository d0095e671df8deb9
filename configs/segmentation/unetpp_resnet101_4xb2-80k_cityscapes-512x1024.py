_base_ = ["unetpp_resnet50_4xb2-80k_cityscapes-512x1024.py"]
from mmbackbones import pair

norm_cfg = dict(type="SyncBN")
pretrained = dict(type="Pretrained", checkpoint="torchvision://resnet101")
model = pair("resnet101", neck=None, strides=(2, 4, 8, 16, 32), norm_cfg=norm_cfg, init_cfg=pretrained)
