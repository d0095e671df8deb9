# BiSeNet (arXiv 1808.00897); mmseg's heads and training, our backbone in the context path.
_base_ = ["mmseg::bisenetv1/bisenetv1_r18-d32_4xb4-160k_cityscapes-1024x1024.py"]
from mmbackbones import pair

norm_cfg = dict(type="SyncBN")
pretrained = dict(type="Pretrained", checkpoint="torchvision://resnet18")
model = pair("resnet18", neck=None, strides=(16, 32), norm_cfg=norm_cfg, init_cfg=pretrained)
model["backbone"] = dict(
    _delete_=True, type="mmbackbones.BiSeNet", backbone_cfg=dict(model["backbone"]), norm_cfg=norm_cfg
)
