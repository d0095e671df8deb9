_base_ = ["swiftnet_resnet18_1xb14-40k_cityscapes-768x768.py"]
from mmbackbones import pair

pretrained = dict(type="Pretrained", checkpoint="torchvision://shufflenet_v2_x1_0.IMAGENET1K_V1")
model = pair("shufflenet_v2_x1_0", neck=None, init_cfg=pretrained)
model.update(decode_head=dict(in_channels=[24, 116, 232, 464]))
