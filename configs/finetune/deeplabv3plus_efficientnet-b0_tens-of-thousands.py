_base_ = ["deeplabv3plus_resnet50_tens-of-thousands.py"]
from mmbackbones import pair

pretrained = dict(type="Pretrained", checkpoint="timm://efficientnet_b0.ra_in1k")
norm_cfg = dict(type="SyncBN")
model = pair("efficientnet_b0", neck=None, output_stride=16, norm_cfg=norm_cfg, init_cfg=pretrained)
model.update(decode_head=dict(in_channels=320, c1_in_channels=24), auxiliary_head=dict(in_channels=112))
