# The paper's own backbone (arXiv 1802.02611), at output stride 16; without the argument, 8 and rates doubled.
_base_ = ["mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb2-80k_cityscapes-512x1024.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "deeplabv3plus", "xception65", pretrained="tf_in1k", output_stride=16)
