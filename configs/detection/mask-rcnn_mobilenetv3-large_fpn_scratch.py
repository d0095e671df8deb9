# From random weights, for small images and small machines.
_base_ = ["faster-rcnn_mobilenetv3-large_fpn_scratch.py"]

extractor = dict(
    type="SingleRoIExtractor",
    roi_layer=dict(type="RoIAlign", output_size=14, sampling_ratio=0),
    out_channels=64,
    featmap_strides=[4, 8, 16, 32],
    finest_scale=28,
)
mask_head = dict(
    type="FCNMaskHead",
    num_convs=2,
    in_channels=64,
    conv_out_channels=64,
    norm_cfg=dict(type="BN"),
    num_classes=80,
    loss_mask=dict(type="CrossEntropyLoss", use_mask=True, loss_weight=1.0),
)
model = dict(
    type="MaskRCNN",
    data_preprocessor=dict(pad_mask=True),
    roi_head=dict(mask_roi_extractor=extractor, mask_head=mask_head),
    train_cfg=dict(rcnn=dict(mask_size=28)),
    test_cfg=dict(rcnn=dict(mask_thr_binary=0.5)),
)
del extractor, mask_head
train_pipeline, test_pipeline = _base_.train_pipeline, _base_.test_pipeline
train_pipeline[1]["with_mask"] = test_pipeline[2]["with_mask"] = True
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(metric=["bbox", "segm"])
test_evaluator = val_evaluator
