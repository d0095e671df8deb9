# Layer norm of each map, shifted windows in the last stage too: mmdet's Swin, parameter for parameter.
_base_ = ["mmdet::swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py"]
from mmbackbones import pair

model = pair(
    "swin_tiny_patch4_window7_224",
    net_kwargs=dict(drop_path_rate=0.2, always_partition=True),
    init_cfg=dict(type="Pretrained", checkpoint="timm://swin_tiny_patch4_window7_224.ms_in1k"),
)
norm = dict(type="mmbackbones.LevelNorm", in_channels=model["neck"]["in_channels"])
model["neck"] = [norm, model["neck"]]
