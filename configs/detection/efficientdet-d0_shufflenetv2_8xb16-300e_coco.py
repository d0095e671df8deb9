_base_ = ["../_base_/efficientdet.py", "../_base_/efficientdet_coco.py"]
from mmbackbones.compose.detectors import efficientdet

pretrained = dict(type="Pretrained", checkpoint="torchvision://shufflenet_v2_x1_0")
model = efficientdet("d0", "shufflenet_v2_x1_0", init_cfg=pretrained)
