_base_ = ["mmseg::mask2former/mask2former_r50_8xb2-160k_ade20k-512x512.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "mask2former", "resnet50", pretrained="torchvision://resnet50")
