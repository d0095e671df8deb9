_base_ = ["faster-rcnn_resnet50_fpn_1x_coco.py"]
from mmbackbones import pair

pretrained = dict(type="Pretrained", checkpoint="timm://mobilenetv3_large_100")
model = pair("mobilenetv3_large_100", neck="FPN", frozen_stages=1, norm_eval=True, init_cfg=pretrained)
