# From random weights, for small images and small machines: slim heads.
_base_ = ["../_base_/small_segmentation.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(
    _base_, "upernet", "swin_tiny_patch4_window7_224", pretrained=False, net_kwargs=None
)
model.data_preprocessor.size = (360, 480)
for head in (model.decode_head, model.auxiliary_head):
    head.update(norm_cfg=dict(type="BN"), num_classes=19, channels=96)
optim_wrapper.update(optimizer=dict(lr=5e-4), clip_grad=dict(max_norm=1))
del head
