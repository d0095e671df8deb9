# Layer norm of each map, shifted windows in the last stage too: mmseg's Swin, parameter for parameter.
_base_ = ["mmseg::swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "upernet", "swin_tiny_patch4_window7_224")
