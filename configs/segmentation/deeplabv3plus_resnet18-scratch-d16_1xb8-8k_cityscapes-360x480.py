# From random weights, for small images and small machines: output stride 16, slim head.
_base_ = ["../_base_/small_segmentation.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(
    _base_, "deeplabv3plus", "resnet18", pretrained=False, output_stride=16, norm_cfg=None
)
model.data_preprocessor.size = (360, 480)
model.decode_head.update(channels=128, c1_channels=32, norm_cfg=dict(type="BN"))
model.auxiliary_head = None
