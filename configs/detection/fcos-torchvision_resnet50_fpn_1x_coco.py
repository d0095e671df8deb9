# For torchvision's fcos_resnet50_fpn and what was fine-tuned from it: `mmbackbones convert` writes
# its weights for this config. Tests as torchvision does; the settings of the training are mmdet's.
_base_ = [
    "mmdet::fcos/fcos_r50-caffe_fpn_gn-head-center-normbbox-centeronreg-giou_1x_coco.py",
    "../_base_/torchvision_detection.py",
]
from mmbackbones.compose.filling import fill

norm = dict(type="FrozenBN", eps=0.0)
model, optim_wrapper = fill(
    _base_, "fcos", "resnet50", pretrained="torchvision://resnet50", norm_cfg=norm, norm_eval=None
)
model.bbox_head.type = "mmbackbones.TorchvisionFCOSHead"
model.test_cfg.update(min_bbox_size=-1, score_thr=0.2)
val_dataloader = dict(dataset=dict(pipeline=_base_.torchvision_pipeline))
test_dataloader = val_dataloader
