# BiSeNet (arXiv 1808.00897); mmseg's heads and training, our backbone in the context path.
_base_ = ["mmseg::bisenetv1/bisenetv1_r18-d32_4xb4-160k_cityscapes-1024x1024.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "bisenet", "resnet18", pretrained="torchvision://resnet18")
