# A linear classifier of each cell of the frozen backbone's last map.
_base_ = ["../_base_/linear_ade20k.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "linear", "vit_small_patch14_dinov2")
