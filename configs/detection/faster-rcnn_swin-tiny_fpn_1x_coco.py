# Layer norm of each map, shifted windows in the last stage too: mmdet's Swin, parameter for parameter.
_base_ = ["mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "faster-rcnn", "swin_tiny_patch4_window7_224")
