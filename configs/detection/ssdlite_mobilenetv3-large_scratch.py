# From random weights, for small images and small machines: anchors from half the size on.
_base_ = ["../_base_/ssdlite.py", "../_base_/small_scratch.py"]
from mmbackbones.compose.detectors import ssdlite

model = ssdlite("mobilenetv3_large_100")
model["bbox_head"]["anchor_generator"] = dict(
    type="mmbackbones.RelativeAnchorGenerator", stride=16, scale_range=(0.1, 0.95), ratios=[[2, 3]] * 6
)
