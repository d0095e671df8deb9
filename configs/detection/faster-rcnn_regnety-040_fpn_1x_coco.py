_base_ = ["mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "faster-rcnn", "regnety_040")
