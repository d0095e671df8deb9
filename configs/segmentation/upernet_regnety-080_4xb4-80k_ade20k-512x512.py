_base_ = ["mmseg::upernet/upernet_r50_4xb4-80k_ade20k-512x512.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "upernet", "regnety_080")
