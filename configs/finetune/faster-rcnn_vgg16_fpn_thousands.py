# Thousands of images: the first third of the layers keeps its weights, learning rate 1e-4.
_base_ = ["../_base_/finetune_detection.py"]
from mmbackbones import pair

pretrained = dict(type="Pretrained", checkpoint="torchvision://vgg16.IMAGENET1K_V1")
model = pair("vgg16", frozen_fraction=1 / 3, init_cfg=pretrained)
