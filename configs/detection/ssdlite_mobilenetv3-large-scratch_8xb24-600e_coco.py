# torchvision's ssdlite320_mobilenet_v3_large: expanded C4, and C5 of half the channels.
_base_ = ["../_base_/ssdlite_coco.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(
    _base_,
    "ssdlite",
    "torchvision:mobilenet_v3_large",
    pretrained=False,
    net_kwargs=dict(reduced_tail=True),
    norm_cfg=dict(type="BN", eps=1e-3, momentum=0.03),
)
model.data_preprocessor.update(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5])
