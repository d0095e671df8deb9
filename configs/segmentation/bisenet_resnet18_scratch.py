# From random weights, for small images and small machines.
_base_ = ["deeplabv3plus_resnet18_scratch.py"]
from mmbackbones import pair

head = dict(type="FCNHead", num_convs=1, concat_input=False, num_classes=19, norm_cfg=dict(type="BN"))
model = pair("resnet18", neck=None, strides=(16, 32))
model["backbone"] = dict(_delete_=True, type="mmbackbones.BiSeNet", backbone_cfg=dict(model["backbone"]))
model.update(
    decode_head=dict(_delete_=True, **head, in_channels=256, in_index=0, channels=256),
    auxiliary_head=[dict(**head, in_channels=128, in_index=index, channels=64) for index in (1, 2)],
)
del head
