_base_ = ["../_base_/yolov4-tiny.py", "../_base_/yolov4-tiny_coco.py"]
from mmbackbones.compose.detectors import yolov4_tiny

pretrained = dict(type="Pretrained", checkpoint="torchvision://shufflenet_v2_x1_0")
model = yolov4_tiny("shufflenet_v2_x1_0", init_cfg=pretrained)
