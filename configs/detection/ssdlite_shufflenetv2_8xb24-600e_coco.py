_base_ = ["../_base_/ssdlite_coco.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "ssdlite", "shufflenet_v2_x1_0")
