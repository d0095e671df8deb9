# No squeeze and excitation, so that INT8 tools take it.
_base_ = ["ssdlite_mobilenetv3-large_scratch.py"]
from mmbackbones.compose.detectors import ssdlite

model = ssdlite("mobilenetv3_large_minimal_100")
