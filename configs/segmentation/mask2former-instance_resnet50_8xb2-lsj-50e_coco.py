# Instance masks.
_base_ = ["mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "mask2former-instance", "resnet50", pretrained="torchvision://resnet50")
