_base_ = ["deeplabv3plus_resnet50_4xb2-80k_cityscapes-512x1024.py"]
from mmbackbones import pair

pretrained = dict(type="Pretrained", checkpoint="torchvision://resnet101")
model = pair("resnet101", neck=None, output_stride=8, norm_cfg=dict(type="SyncBN"), init_cfg=pretrained)
