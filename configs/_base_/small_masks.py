# As small_detection.py, for data with masks.
_base_ = ["small_detection.py"]
train_pipeline, test_pipeline = _base_.train_pipeline, _base_.test_pipeline
train_pipeline[1]["with_mask"] = test_pipeline[2]["with_mask"] = True
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(metric=["bbox", "segm"])
test_evaluator = val_evaluator
# What a slim mask head has in place of its base's.
slim_masks = dict(
    roi_head=dict(
        mask_roi_extractor=dict(out_channels=64, finest_scale=28),
        mask_head=dict(num_convs=2, in_channels=64, conv_out_channels=64, norm_cfg=dict(type="BN")),
    ),
)
