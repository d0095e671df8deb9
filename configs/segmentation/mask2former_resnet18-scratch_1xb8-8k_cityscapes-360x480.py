# From random weights, for small images and small machines: few queries, layers and points.
_base_ = ["../_base_/small_segmentation.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "mask2former", "resnet18", pretrained=False, norm_cfg=None)
model.data_preprocessor.size = (360, 480)
head = model.decode_head
head.num_queries = 25
head.pixel_decoder.encoder.num_layers = head.transformer_decoder.num_layers = 3
del model.data_preprocessor.test_cfg
head.train_cfg.num_points = 1568
optim_wrapper.update(optimizer=dict(lr=5e-4), clip_grad=dict(max_norm=1))
del head
