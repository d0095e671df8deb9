# Any number of images, far from ImageNet's: first neck and heads train, then stage 4 too, then stage 3 ...
# each with a lower rate than what is above it.
_base_ = ["../_base_/finetune_detection.py"]
from mmbackbones import pair

pretrained = dict(type="Pretrained", checkpoint="torchvision://resnet50.IMAGENET1K_V2")
model = pair("resnet50", frozen_stages=4, norm_eval=True, init_cfg=pretrained)
optim_wrapper = dict(
    constructor="mmbackbones.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(decay_rate=0.7, by="stage"),
)
custom_hooks = [dict(type="mmbackbones.UnfreezeHook", schedule={4: 3, 8: 2, 12: 1, 16: -1})]
