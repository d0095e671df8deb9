# Backbone and neck as in mask-rcnn_swin-tiny_fpn_1x_coco, which are mmdet's.
_base_ = ["mmdet::cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py"]
from mmbackbones import pair

model = pair(
    "swin_tiny_patch4_window7_224",
    net_kwargs=dict(drop_path_rate=0.2, always_partition=True),
    init_cfg=dict(type="Pretrained", checkpoint="timm://swin_tiny_patch4_window7_224.ms_in1k"),
)
norm = dict(type="mmbackbones.LevelNorm", in_channels=model["neck"]["in_channels"])
model["neck"] = [norm, model["neck"]]
optim_wrapper = dict(
    _delete_=True,
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0, bias_decay_mult=0),
)
