# No squeeze and excitation, so that INT8 tools take it.
_base_ = ["mmdet::retinanet/retinanet_r50_fpn_1x_coco.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "retinanet", "efficientnet_lite0")
