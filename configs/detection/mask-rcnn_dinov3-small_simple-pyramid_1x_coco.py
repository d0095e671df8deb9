_base_ = ["mask-rcnn_vit-base_simple-pyramid_1x_coco.py"]
from mmbackbones import pair

pretrained = dict(type="Pretrained", checkpoint="timm://vit_small_patch16_dinov3")
model = pair("vit_small_patch16_dinov3", "SimpleFeaturePyramid", init_cfg=pretrained)
