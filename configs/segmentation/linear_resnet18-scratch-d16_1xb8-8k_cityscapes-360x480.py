# From random weights, for small images and small machines: the backbone trains too.
_base_ = ["../_base_/small_segmentation.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "linear", "resnet18", pretrained=False, output_stride=16)
model.data_preprocessor.size = (360, 480)
model.decode_head.num_classes = 19
