_base_ = ["mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py"]
from mmbackbones import pair

pretrained = dict(type="Pretrained", checkpoint="torchvision://resnet50")
model = pair("resnet50", frozen_stages=1, norm_eval=True, init_cfg=pretrained)
