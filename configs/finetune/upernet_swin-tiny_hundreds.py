# Hundreds of images: patch embedding and stages 1 and 2 keep their weights, the rest trains with rates
# that fall towards the image.
_base_ = ["mmseg::_base_/models/upernet_swin.py", "../_base_/finetune_segmentation.py"]
from mmbackbones import pair

name = "swin_tiny_patch4_window7_224"
pretrained = dict(type="Pretrained", checkpoint=f"timm://{name}.ms_in1k")
model = pair(name, neck=None, frozen_stages=2, init_cfg=pretrained)
model["data_preprocessor"]["size"] = (512, 512)
model.update(decode_head=dict(num_classes=150), auxiliary_head=dict(num_classes=150))
optim_wrapper = dict(
    constructor="mmbackbones.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(decay_rate=0.8, by="layer"),
)
