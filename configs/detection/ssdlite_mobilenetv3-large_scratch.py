# From random weights, for small images and small machines.
_base_ = ["../_base_/ssdlite.py", "../_base_/small_scratch.py"]
from mmbackbones.detectors import ssdlite

model = ssdlite("mobilenetv3_large_100", expanded=True)
