# Hundreds of images: patch embedding and stages 1 and 2 keep their weights, the rest trains with rates
# that fall towards the image.
_base_ = ["../_base_/finetune_detection.py"]
from mmbackbones import pair

name = "swin_tiny_patch4_window7_224"
model = pair(name, frozen_stages=2, init_cfg=dict(type="Pretrained", checkpoint=f"timm://{name}.ms_in1k"))
optim_wrapper = dict(
    constructor="mmbackbones.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(decay_rate=0.8, by="layer"),
)
