# EfficientDet-D0.
model = dict(
    type="SingleStageDetector",
    data_preprocessor=dict(type="DetDataPreprocessor", pad_size_divisor=128),
    backbone=dict(type="mmbackbones.efficientnet_b0", out_strides=(8, 16, 32)),
    neck=dict(
        type="mmbackbones.BiFPN", in_channels=[40, 112, 320], out_channels=64, num_outs=5, num_repeats=3
    ),
    bbox_head=dict(
        type="mmbackbones.EfficientDetHead",
        num_classes=80,
        in_channels=64,
        stacked_convs=3,
        bbox_coder=dict(type="DeltaXYWHBBoxCoder"),
    ),
    train_cfg=dict(
        assigner=dict(type="MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0),
        sampler=dict(type="PseudoSampler"),  # focal loss takes all anchors
        allowed_border=-1,
        pos_weight=-1,
        debug=False,
    ),
    test_cfg=dict(
        nms_pre=1000,
        min_bbox_size=0,
        score_thr=0.05,
        nms=dict(type="soft_nms", iou_threshold=0.3, sigma=0.5, min_score=1e-3, method="gaussian"),
        max_per_img=100,
    ),
)
