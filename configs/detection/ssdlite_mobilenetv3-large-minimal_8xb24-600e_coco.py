# No squeeze and excitation, so that INT8 tools take it.
_base_ = ["../_base_/ssdlite.py", "../_base_/ssdlite_coco.py"]
from mmbackbones.compose.detectors import ssdlite

pretrained = dict(type="Pretrained", checkpoint="timm://tf_mobilenetv3_large_minimal_100")
model = ssdlite("mobilenetv3_large_minimal_100", init_cfg=pretrained)
