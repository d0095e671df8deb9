_base_ = ["cascade-mask-rcnn_vit-base_simple-pyramid_1x_coco.py"]
from mmbackbones import pair

pretrained = dict(type="Pretrained", checkpoint="timm://vit_small_patch14_dinov2")
model = pair("vit_small_patch14_dinov2", "SimpleFeaturePyramid", init_cfg=pretrained)
