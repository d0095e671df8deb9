_base_ = ["mmseg::maskformer/maskformer_r50-d32_8xb2-160k_ade20k-512x512.py"]
from mmbackbones import pair

pretrained = dict(type="Pretrained", checkpoint="timm://regnety_080.ra3_in1k")
model = pair("regnety_080", neck=None, norm_cfg=dict(type="SyncBN"), norm_eval=True, init_cfg=pretrained)
model.update(decode_head=dict(in_channels=[168, 448, 896, 2016]))
