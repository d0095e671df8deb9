_base_ = ["../_base_/yolov4-tiny.py", "../_base_/yolov4-tiny_coco.py"]
from mmbackbones.compose.detectors import yolov4_tiny

pretrained = dict(type="Pretrained", checkpoint="timm://mobilenetv3_large_100")
model = yolov4_tiny("mobilenetv3_large_100", init_cfg=pretrained)
