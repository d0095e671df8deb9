# LR-ASPP (arXiv 1905.02244); data and schedule are those of mmseg's FCN.
_base_ = ["mmseg::fcn/fcn_r50-d8_4xb4-40k_voc12aug-512x512.py"]
norm = dict(type="SyncBN")
model = dict(
    pretrained=None,
    backbone=dict(
        _delete_=True, type="mmbackbones.resnet50", out_strides=(8, 32), output_stride=16, norm_cfg=norm
    ),
    decode_head=dict(
        _delete_=True,
        type="mmbackbones.LRASPPHead",
        in_channels=[512, 2048],
        norm_cfg=norm,
        num_classes=21,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
    auxiliary_head=None,
)
