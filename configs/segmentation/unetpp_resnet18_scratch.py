# From random weights, for small images and small machines.
_base_ = ["deeplabv3plus_resnet18_scratch.py"]
from mmbackbones import pair

model = pair("resnet18", neck=None, strides=(2, 4, 8, 16, 32))
model.update(
    decode_head=dict(
        _delete_=True,
        type="mmbackbones.UNetPlusPlusHead",
        in_channels=[64, 64, 128, 256, 512],
        decoder_channels=(128, 64, 64, 32),
        deep_supervision=True,
        norm_cfg=dict(type="BN"),
        num_classes=19,
    ),
)
