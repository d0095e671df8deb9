# For torchvision's fasterrcnn_resnet50_fpn and what was fine-tuned from it: `mmbackbones convert` writes its
# weights for this config. Tests as torchvision does; the settings of the training are mmdet's.
_base_ = ["mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py"]
from mmbackbones import pair

pretrained = dict(type="Pretrained", checkpoint="torchvision://resnet50")
norm = dict(type="FrozenBN", eps=0.0)
model = dict(
    **pair("resnet50", frozen_stages=1, norm_cfg=norm, init_cfg=pretrained),
    rpn_head=dict(anchor_generator=dict(_delete_=True, type="mmbackbones.TorchvisionAnchorGenerator")),
    roi_head=dict(bbox_roi_extractor=dict(roi_layer=dict(sampling_ratio=2, aligned=False))),
    test_cfg=dict(rpn=dict(min_bbox_size=1e-3)),
)
# Grey values are not rounded when images are resized, and sides are rounded down.
test_pipeline = [
    dict(type="LoadImageFromFile", to_float32=True),
    dict(type="FixScaleResize", scale=(1333, 800), keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
