_base_ = ["../_base_/ssdlite.py", "../_base_/ssdlite_coco.py"]
from mmbackbones.compose.detectors import ssdlite

pretrained = dict(type="Pretrained", checkpoint="torchvision://shufflenet_v2_x1_0")
model = ssdlite("shufflenet_v2_x1_0", init_cfg=pretrained)
