_base_ = ["../_base_/linear_ade20k.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "linear", "vit_small_patch16_dinov3")
