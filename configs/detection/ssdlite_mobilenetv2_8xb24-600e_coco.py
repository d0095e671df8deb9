# No squeeze and excitation, so that INT8 tools take it.
_base_ = ["../_base_/ssdlite_coco.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "ssdlite", "mobilenetv2_100")
