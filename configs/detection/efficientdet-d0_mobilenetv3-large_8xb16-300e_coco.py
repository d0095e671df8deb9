_base_ = ["../_base_/efficientdet.py", "../_base_/efficientdet_coco.py"]
from mmbackbones.compose.detectors import efficientdet

pretrained = dict(type="Pretrained", checkpoint="timm://mobilenetv3_large_100")
model = efficientdet("d0", "mobilenetv3_large_100", init_cfg=pretrained)
