# No squeeze and excitation, so that INT8 tools take it.
_base_ = ["../_base_/small_detection.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "ssdlite", "mobilenetv3_large_minimal_100", pretrained=False)
model.bbox_head.anchor_generator = dict(
    type="mmbackbones.RelativeAnchorGenerator", stride=16, scale_range=(0.1, 0.95), ratios=[[2, 3]] * 6
)
