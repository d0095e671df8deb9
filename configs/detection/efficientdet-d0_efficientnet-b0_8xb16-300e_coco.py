_base_ = ["../_base_/efficientdet.py", "../_base_/efficientdet_coco.py"]
from mmbackbones.compose.detectors import efficientdet

pretrained = dict(type="Pretrained", checkpoint="timm://efficientnet_b0")
model = efficientdet("d0", init_cfg=pretrained)
