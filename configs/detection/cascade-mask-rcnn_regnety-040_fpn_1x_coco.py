_base_ = ["mmdet::cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "cascade-mask-rcnn", "regnety_040")
