_base_ = ["mmseg::upernet/upernet_r50_4xb4-80k_ade20k-512x512.py"]
from mmbackbones import pair

pretrained = dict(type="Pretrained", checkpoint="timm://regnety_080.ra3_in1k")
model = pair("regnety_080", neck=None, norm_cfg=dict(type="SyncBN"), init_cfg=pretrained)
model.update(
    pretrained=None,
    decode_head=dict(in_channels=[168, 448, 896, 2016]),
    auxiliary_head=dict(in_channels=896),
)
