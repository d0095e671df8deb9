# YOLOv4-tiny, whose neck joins all of C4.
model = dict(
    type="SingleStageDetector",
    data_preprocessor=dict(type="DetDataPreprocessor", pad_size_divisor=32),
    backbone=dict(type="mmbackbones.cspdarknet53_tiny", out_strides=(16, 32)),
    neck=dict(type="mmbackbones.YOLOV4TinyNeck", in_channels=[512, 512]),
    bbox_head=dict(type="mmbackbones.YOLOV4Head", num_classes=80, in_channels=[256, 640]),
    test_cfg=dict(
        nms_pre=1000,
        min_bbox_size=0,
        score_thr=0.05,
        conf_thr=0.005,
        nms=dict(type="nms", iou_threshold=0.45),
        max_per_img=100,
    ),
)
