# U-Net++ (arXiv 1807.10165) over C1 to C5, with deep supervision.
_base_ = [
    "mmseg::_base_/datasets/cityscapes.py",
    "mmseg::_base_/default_runtime.py",
    "mmseg::_base_/schedules/schedule_80k.py",
]
model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(type="SegDataPreProcessor", pad_val=0, seg_pad_val=255, size=(512, 1024)),
    backbone=dict(type="mmbackbones.resnet50", out_strides=(2, 4, 8, 16, 32), norm_cfg=dict(type="SyncBN")),
    decode_head=dict(
        type="mmbackbones.UNetPlusPlusHead",
        in_channels=[64, 256, 512, 1024, 2048],
        deep_supervision=True,
        norm_cfg=dict(type="SyncBN"),
        num_classes=19,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
