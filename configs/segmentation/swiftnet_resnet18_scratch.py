# From random weights, for small images and small machines.
_base_ = ["deeplabv3plus_resnet18_scratch.py"]

model = dict(
    backbone=dict(_delete_=True, type="mmbackbones.PreActivationBackbone", name="resnet18"),
    decode_head=dict(
        _delete_=True, type="mmbackbones.SwiftNetHead", in_channels=[64, 128, 256, 512], num_classes=19
    ),
)
