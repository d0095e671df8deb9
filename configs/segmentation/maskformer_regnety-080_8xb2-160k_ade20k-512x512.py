_base_ = ["mmseg::maskformer/maskformer_r50-d32_8xb2-160k_ade20k-512x512.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "maskformer", "regnety_080")
