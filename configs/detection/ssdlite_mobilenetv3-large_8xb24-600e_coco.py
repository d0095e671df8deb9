_base_ = ["../_base_/ssdlite.py", "../_base_/ssdlite_coco.py"]
from mmbackbones.compose.detectors import ssdlite

pretrained = dict(type="Pretrained", checkpoint="timm://mobilenetv3_large_100")
model = ssdlite("mobilenetv3_large_100", init_cfg=pretrained)
