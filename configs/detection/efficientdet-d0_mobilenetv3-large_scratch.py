# From random weights, for small images and small machines.
_base_ = ["../_base_/efficientdet.py", "../_base_/small_scratch.py"]
from mmbackbones.compose.detectors import efficientdet

model = efficientdet("d0", "mobilenetv3_large_100")
norm_cfg = dict(type="BN")  # the original's momentum of 0.01 needs longer trainings
model["neck"]["norm_cfg"] = model["bbox_head"]["norm_cfg"] = norm_cfg
