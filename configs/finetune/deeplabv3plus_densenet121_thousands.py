# Thousands of images: the first third of the layers keeps its weights, learning rate 1e-4.
_base_ = ["deeplabv3plus_vgg16_thousands.py"]
from mmbackbones import pair

pretrained = dict(type="Pretrained", checkpoint="torchvision://densenet121.IMAGENET1K_V1")
norm_cfg = dict(type="SyncBN")
model = pair(
    "densenet121",
    neck=None,
    output_stride=16,
    frozen_fraction=1 / 3,
    norm_cfg=norm_cfg,
    init_cfg=pretrained,
)
model.update(decode_head=dict(in_channels=1024, c1_in_channels=256), auxiliary_head=dict(in_channels=1024))
