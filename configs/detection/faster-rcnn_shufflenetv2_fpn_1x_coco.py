_base_ = ["mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py"]
from mmbackbones import pair

pretrained = dict(type="Pretrained", checkpoint="torchvision://shufflenet_v2_x1_0")
model = pair("shufflenet_v2_x1_0", frozen_stages=1, norm_eval=True, init_cfg=pretrained)
