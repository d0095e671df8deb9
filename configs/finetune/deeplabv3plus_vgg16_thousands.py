# Thousands of images: the first third of the layers keeps its weights, learning rate 1e-4.
_base_ = ["mmseg::_base_/models/deeplabv3plus_r50-d8.py", "../_base_/finetune_segmentation.py"]
from mmbackbones import pair

pretrained = dict(type="Pretrained", checkpoint="torchvision://vgg16.IMAGENET1K_V1")
model = pair("vgg16", neck=None, output_stride=16, frozen_fraction=1 / 3, init_cfg=pretrained)
model["data_preprocessor"]["size"] = (512, 512)
model.update(
    pretrained=None,
    decode_head=dict(in_channels=512, c1_in_channels=256, dilations=(1, 6, 12, 18), num_classes=150),
    auxiliary_head=dict(in_channels=512, num_classes=150),
)
