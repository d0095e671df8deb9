# For torchvision's maskrcnn_resnet50_fpn_v2 and what was fine-tuned from it: `mmbackbones convert` writes
# its weights for this config. Tests as torchvision does; the settings of the training are mmdet's.
_base_ = ["mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py", "../_base_/torchvision_detection.py"]
from mmbackbones.compose.filling import fill

norm = dict(type="BN")
model, optim_wrapper = fill(
    _base_, "mask-rcnn", "resnet50", pretrained="torchvision://resnet50", neck_cfg=dict(norm_cfg=norm)
)
model.rpn_head.num_convs = 2
model.roi_head.bbox_head.update(type="Shared4Conv1FCBBoxHead", conv_out_channels=256, norm_cfg=norm)
model.rpn_head.anchor_generator = dict(type="mmbackbones.TorchvisionAnchorGenerator")
for extractor in (model.roi_head.bbox_roi_extractor, model.roi_head.mask_roi_extractor):
    extractor.roi_layer.update(sampling_ratio=2, aligned=False)
model.roi_head.mask_head.update(type="mmbackbones.TorchvisionMaskHead", norm_cfg=norm)
model.test_cfg.rpn.min_bbox_size = 1e-3
val_dataloader = dict(dataset=dict(pipeline=_base_.torchvision_pipeline))
test_dataloader = val_dataloader
