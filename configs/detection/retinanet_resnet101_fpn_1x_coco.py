_base_ = ["mmdet::retinanet/retinanet_r50_fpn_1x_coco.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "retinanet", "resnet101", pretrained="torchvision://resnet101")
