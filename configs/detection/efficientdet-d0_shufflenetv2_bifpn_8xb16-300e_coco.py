_base_ = ["../_base_/efficientdet_coco.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "efficientdet-d0", "shufflenet_v2_x1_0")
