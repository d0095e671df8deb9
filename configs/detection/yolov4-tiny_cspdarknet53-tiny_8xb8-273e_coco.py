_base_ = ["../_base_/yolov4-tiny.py", "../_base_/yolov4-tiny_coco.py"]
from mmbackbones.compose.detectors import yolov4_tiny

model = yolov4_tiny("cspdarknet53_tiny")
