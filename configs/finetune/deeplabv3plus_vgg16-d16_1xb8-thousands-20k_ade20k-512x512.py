# Thousands of images: the first third of the layers keeps its weights, learning rate 1e-4.
_base_ = ["../_base_/finetune_segmentation.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(
    _base_,
    "deeplabv3plus",
    "vgg16",
    output_stride=16,
    pretrained="torchvision://vgg16.IMAGENET1K_V1",
    frozen_fraction=1 / 3,
    paramwise_cfg={},
)
model.data_preprocessor.size = (512, 512)
model.decode_head.num_classes = model.auxiliary_head.num_classes = 150
