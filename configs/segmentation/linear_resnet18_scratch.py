# From random weights, for small images and small machines: the backbone trains too.
_base_ = ["deeplabv3plus_resnet18_scratch.py"]
from mmbackbones import pair

model = pair("resnet18", neck=None, strides=(32,), output_stride=16)
model.update(decode_head=dict(_delete_=True, type="mmbackbones.LinearHead", in_channels=512, num_classes=19))
