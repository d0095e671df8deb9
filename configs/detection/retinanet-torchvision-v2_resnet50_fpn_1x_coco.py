# For torchvision's retinanet_resnet50_fpn_v2 and what was fine-tuned from it: `mmbackbones convert`
# writes its weights for this config. Tests as torchvision does; the settings of the training are mmdet's.
_base_ = ["mmdet::retinanet/retinanet_r50_fpn_1x_coco.py", "../_base_/torchvision_detection.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(
    _base_,
    "retinanet",
    "resnet50",
    pretrained="torchvision://resnet50",
    neck_cfg=dict(relu_before_extra_convs=True),
)
sizes = [(32, 40, 50), (64, 80, 101), (128, 161, 203), (256, 322, 406), (512, 645, 812)]
model.bbox_head.anchor_generator = dict(
    type="mmbackbones.TorchvisionAnchorGenerator", sizes=sizes, strides=[8, 16, 32, 64, 128]
)
model.bbox_head.norm_cfg = dict(type="GN", num_groups=32)
model.test_cfg.update(min_bbox_size=-1, max_per_img=300)
val_dataloader = dict(dataset=dict(pipeline=_base_.torchvision_pipeline))
test_dataloader = val_dataloader
