# No squeeze and excitation, so that INT8 tools take it.
_base_ = ["mmdet::retinanet/retinanet_r50_fpn_1x_coco.py"]
from mmbackbones import pair

pretrained = dict(type="Pretrained", checkpoint="timm://tf_mobilenetv3_large_minimal_100")
model = pair(
    "mobilenetv3_large_minimal_100",
    strides=(8, 16, 32),
    neck_cfg=dict(add_extra_convs="on_input"),
    frozen_stages=1,
    norm_eval=True,
    init_cfg=pretrained,
)
