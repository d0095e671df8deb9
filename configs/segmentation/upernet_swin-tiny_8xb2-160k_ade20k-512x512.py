# Layer norm of each map, shifted windows in the last stage too: mmseg's Swin, parameter for parameter.
_base_ = ["mmseg::swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py"]
from mmbackbones import pair

model = pair(
    "swin_tiny_patch4_window7_224",
    neck="LevelNorm",
    net_kwargs=dict(drop_path_rate=0.3, always_partition=True),
    init_cfg=dict(type="Pretrained", checkpoint="timm://swin_tiny_patch4_window7_224.ms_in1k"),
)
