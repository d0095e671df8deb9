# From random weights, for small images and small machines: few queries and layers.
_base_ = ["deeplabv3plus_resnet18_scratch.py"]
from mmbackbones import pair
from mmbackbones.compose.configs import load_config

head = load_config("mmseg::maskformer/maskformer_r50-d32_8xb2-160k_ade20k-512x512").model.decode_head
head.update(in_channels=[64, 128, 256, 512], num_queries=25)
head.transformer_decoder.num_layers = 3
model = pair("resnet18", neck=None)
model["decode_head"] = dict(head, _delete_=True)
optim_wrapper = dict(optimizer=dict(lr=5e-4), clip_grad=dict(max_norm=1))
del head
