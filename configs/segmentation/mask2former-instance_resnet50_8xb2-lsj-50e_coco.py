# Instance masks.
_base_ = ["mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py"]
from mmbackbones import pair

pretrained = dict(type="Pretrained", checkpoint="torchvision://resnet50")
model = pair("resnet50", neck=None, norm_cfg=dict(type="BN", requires_grad=False), norm_eval=True)
model["backbone"].update(init_cfg=pretrained)
