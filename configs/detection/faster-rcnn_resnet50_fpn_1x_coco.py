_base_ = [
    "mmdet::_base_/models/faster-rcnn_r50_fpn.py",
    "mmdet::_base_/datasets/coco_detection.py",
    "mmdet::_base_/schedules/schedule_1x.py",
    "mmdet::_base_/default_runtime.py",
]
from mmbackbones import pair

pretrained = dict(type="Pretrained", checkpoint="torchvision://resnet50")
model = pair("resnet50", neck="FPN", frozen_stages=1, norm_eval=True, init_cfg=pretrained)
