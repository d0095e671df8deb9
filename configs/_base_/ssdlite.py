# SSDLite.
model = dict(
    type="SingleStageDetector",
    data_preprocessor=dict(type="DetDataPreprocessor", pad_size_divisor=1),
    backbone=dict(type="mmbackbones.ExpandedBackbone", name="mobilenetv3_large_100"),
    neck=dict(type="mmbackbones.SSDLiteNeck", in_channels=[672, 960], extra_channels=[512, 256, 256, 128]),
    bbox_head=dict(
        type="mmbackbones.SSDLiteHead", num_classes=80, in_channels=[672, 960, 512, 256, 256, 128]
    ),
    train_cfg=dict(
        assigner=dict(
            type="MaxIoUAssigner",
            pos_iou_thr=0.5,
            neg_iou_thr=0.5,
            min_pos_iou=0.0,
            gt_max_assign_all=False,
        ),
        sampler=dict(type="PseudoSampler"),  # the head chooses the hardest negatives itself
        smoothl1_beta=1.0,
        allowed_border=-1,
        pos_weight=-1,
        neg_pos_ratio=3,
        debug=False,
    ),
    test_cfg=dict(
        nms_pre=1000,
        min_bbox_size=0,
        score_thr=0.001,
        nms=dict(type="nms", iou_threshold=0.55),
        max_per_img=300,
    ),
)
