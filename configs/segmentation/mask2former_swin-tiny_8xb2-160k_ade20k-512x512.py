_base_ = ["mmseg::mask2former/mask2former_swin-t_8xb2-160k_ade20k-512x512.py"]
from mmbackbones import pair

model = pair(
    "swin_tiny_patch4_window7_224",
    neck=None,
    net_kwargs=dict(drop_path_rate=0.3, always_partition=True),
    init_cfg=dict(type="Pretrained", checkpoint="timm://swin_tiny_patch4_window7_224.ms_in1k"),
)
