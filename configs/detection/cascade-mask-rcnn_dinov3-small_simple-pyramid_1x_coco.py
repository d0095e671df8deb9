# Plain ViT with the pyramid and the optimiser of ViTDet (arXiv 2203.16527).
_base_ = ["mmdet::cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py"]
from mmbackbones import pair

pretrained = dict(type="Pretrained", checkpoint="timm://vit_small_patch16_dinov3")
model = pair("vit_small_patch16_dinov3", "SimpleFeaturePyramid", init_cfg=pretrained)
optim_wrapper = dict(
    _delete_=True,
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=0.1),
    constructor="mmbackbones.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(decay_rate=0.7, by="layer"),
)
