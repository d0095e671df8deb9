_base_ = ["mmseg::mask2former/mask2former_r50_8xb2-160k_ade20k-512x512.py"]
from mmbackbones import pair

pretrained = dict(type="Pretrained", checkpoint="torchvision://resnet50")
norm_cfg = dict(type="SyncBN", requires_grad=False)
model = pair("resnet50", neck=None, norm_cfg=norm_cfg, init_cfg=pretrained)
