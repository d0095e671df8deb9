# From random weights, for small images and small machines: few queries and layers.
_base_ = ["../_base_/small_segmentation.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "maskformer", "resnet18", pretrained=False, norm_cfg=None)
model.data_preprocessor.size = (360, 480)
model.decode_head.num_queries = 25
model.decode_head.transformer_decoder.num_layers = 3
optim_wrapper.update(optimizer=dict(lr=5e-4), clip_grad=dict(max_norm=1))
