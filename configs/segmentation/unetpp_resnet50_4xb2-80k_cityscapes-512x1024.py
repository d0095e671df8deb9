# U-Net++ (arXiv 1807.10165) over C1 to C5, with deep supervision.
_base_ = ["deeplabv3plus_resnet50_4xb2-80k_cityscapes-512x1024.py"]
from mmbackbones import pair

norm_cfg = dict(type="SyncBN")
pretrained = dict(type="Pretrained", checkpoint="torchvision://resnet50")
model = pair("resnet50", neck=None, strides=(2, 4, 8, 16, 32), norm_cfg=norm_cfg, init_cfg=pretrained)
model.update(
    decode_head=dict(
        _delete_=True,
        type="mmbackbones.UNetPlusPlusHead",
        in_channels=[64, 256, 512, 1024, 2048],
        deep_supervision=True,
        norm_cfg=norm_cfg,
        num_classes=19,
    ),
    auxiliary_head=None,
)
