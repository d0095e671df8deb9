# The deep stem (three 3x3 convolutions) of mmseg's ResNetV1c: the same parameters and logits as mmseg's.
_base_ = ["mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb2-80k_cityscapes-512x1024.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "deeplabv3plus", "timm:resnet50c")
