# For torchvision's retinanet_resnet50_fpn and what was fine-tuned from it: `mmbackbones convert` writes its
# weights for this config. Tests as torchvision does; the settings of the training are mmdet's.
_base_ = ["mmdet::retinanet/retinanet_r50_fpn_1x_coco.py", "../_base_/torchvision_detection.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(
    _base_,
    "retinanet",
    "resnet50",
    pretrained="torchvision://resnet50",
    norm_cfg=dict(type="FrozenBN", eps=0.0),
    norm_eval=None,
    neck_cfg=dict(add_extra_convs="on_output", relu_before_extra_convs=True),  # P6 from P5
)
sizes = [(32, 40, 50), (64, 80, 101), (128, 161, 203), (256, 322, 406), (512, 645, 812)]
model.bbox_head.anchor_generator = dict(
    type="mmbackbones.TorchvisionAnchorGenerator", sizes=sizes, strides=[8, 16, 32, 64, 128]
)
model.test_cfg.update(min_bbox_size=-1, max_per_img=300)
val_dataloader = dict(dataset=dict(pipeline=_base_.torchvision_pipeline))
test_dataloader = val_dataloader
