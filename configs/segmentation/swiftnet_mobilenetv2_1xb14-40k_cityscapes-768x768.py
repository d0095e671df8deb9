_base_ = ["swiftnet_resnet18_1xb14-40k_cityscapes-768x768.py"]
from mmbackbones import pair

pretrained = dict(type="Pretrained", checkpoint="timm://mobilenetv2_100.ra_in1k")
model = pair("mobilenetv2_100", neck=None, init_cfg=pretrained)
model.update(decode_head=dict(in_channels=[24, 32, 96, 320]))
