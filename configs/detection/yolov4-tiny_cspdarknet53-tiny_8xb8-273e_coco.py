_base_ = ["../_base_/yolov4-tiny_coco.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "yolov4-tiny", "cspdarknet53_tiny")
