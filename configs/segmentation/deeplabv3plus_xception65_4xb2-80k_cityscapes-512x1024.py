# The paper's own backbone (arXiv 1802.02611), at output stride 16. For 8: output_stride=8, rates doubled.
_base_ = ["deeplabv3plus_resnet50_4xb2-80k_cityscapes-512x1024.py"]
from mmbackbones import pair

pretrained = dict(type="Pretrained", checkpoint="timm://xception65.tf_in1k")
model = pair("xception65", neck=None, output_stride=16, norm_cfg=dict(type="SyncBN"), init_cfg=pretrained)
model.update(decode_head=dict(dilations=(1, 6, 12, 18)), auxiliary_head=dict(in_channels=1024))
