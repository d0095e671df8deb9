# The deep stem (three 3x3 convolutions) of mmseg's ResNetV1c: the same parameters and logits as mmseg's.
_base_ = ["deeplabv3plus_resnet50_4xb2-80k_cityscapes-512x1024.py"]
from mmbackbones import pair

pretrained = dict(type="Pretrained", checkpoint="timm://resnet50c.gluon_in1k")
model = pair("timm:resnet50c", neck=None, output_stride=8, norm_cfg=dict(type="SyncBN"), init_cfg=pretrained)
