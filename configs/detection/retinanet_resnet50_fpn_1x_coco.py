_base_ = ["mmdet::retinanet/retinanet_r50_fpn_1x_coco.py"]
from mmbackbones import pair

pretrained = dict(type="Pretrained", checkpoint="torchvision://resnet50")
model = pair(
    "resnet50",
    strides=(8, 16, 32),
    neck_cfg=dict(add_extra_convs="on_input"),
    frozen_stages=1,
    norm_eval=True,
    init_cfg=pretrained,
)
