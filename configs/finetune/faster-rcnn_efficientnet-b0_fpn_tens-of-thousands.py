_base_ = ["faster-rcnn_resnet50_fpn_tens-of-thousands.py"]
from mmbackbones import pair

pretrained = dict(type="Pretrained", checkpoint="timm://efficientnet_b0.ra_in1k")
model = pair("efficientnet_b0", norm_eval=True, init_cfg=pretrained)
