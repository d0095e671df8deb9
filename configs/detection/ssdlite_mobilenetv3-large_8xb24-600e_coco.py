_base_ = ["../_base_/ssdlite_coco.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "ssdlite", "mobilenetv3_large_100")
