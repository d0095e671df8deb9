# From random weights, for small images and small machines: the neck, RPN and mask head of Mask R-CNN's.
_base_ = ["mask-rcnn_mobilenetv3-large_fpn_scratch.py"]
from mmbackbones.compose.configs import load_config

cascade = load_config("mmdet::cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco").model
for head, stage in zip(cascade.roi_head.bbox_head, cascade.train_cfg.rcnn, strict=True):
    head.update(in_channels=64, fc_out_channels=256)
    stage.sampler.num = 64
parts = ("type", "num_stages", "stage_loss_weights", "bbox_head")
model = dict(
    type="CascadeRCNN",
    roi_head={part: cascade.roi_head[part] for part in parts},
    train_cfg=dict(rcnn=cascade.train_cfg.rcnn),
)
del cascade, head, stage, parts
