_base_ = ["mmseg::swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "upernet", "vit_small_patch16_dinov3")
