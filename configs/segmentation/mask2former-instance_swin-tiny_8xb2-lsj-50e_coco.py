# Instance masks.
_base_ = ["mmdet::mask2former/mask2former_swin-t-p4-w7-224_8xb2-lsj-50e_coco.py"]
from mmbackbones import pair

model = pair(
    "swin_tiny_patch4_window7_224",
    neck=None,
    net_kwargs=dict(drop_path_rate=0.3, always_partition=True),
    init_cfg=dict(type="Pretrained", checkpoint="timm://swin_tiny_patch4_window7_224.ms_in1k"),
)
