# Thousands of images: the first third of the layers keeps its weights, learning rate 1e-4. Batches of a few
# large images are too small for batch statistics: those of ImageNet stay.
_base_ = ["faster-rcnn_vgg16_fpn_thousands.py"]
from mmbackbones import pair

pretrained = dict(type="Pretrained", checkpoint="torchvision://densenet121.IMAGENET1K_V1")
model = pair("densenet121", frozen_fraction=1 / 3, norm_eval=True, init_cfg=pretrained)
