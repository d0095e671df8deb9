# For torchvision's deeplabv3_mobilenet_v3_large and what was fine-tuned from it: `mmbackbones convert` writes
# its weights for this config. Tests as torchvision does; the settings of the training are mmseg's.
_base_ = [
    "mmseg::deeplabv3/deeplabv3_r50-d8_4xb4-40k_voc12aug-512x512.py",
    "../_base_/torchvision_segmentation.py",
]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "deeplabv3", "torchvision:mobilenet_v3_large", output_stride=16)
model.backbone.update(
    type="mmbackbones.EarlyBackbone",
    before=("features.5", None),  # stride 8 is read after the first block of its stage
    net_kwargs=dict(dilated=True),  # its first dilated layer too, which output_stride leaves as it is
    out_strides=(8, 16),
)
rates = (1, 12, 24, 36)
model.decode_head.update(
    type="mmbackbones.DeepLabV3Head", in_index=1, channels=256, dropout_ratio=0.5, dilations=rates
)
model.auxiliary_head.update(in_index=0, in_channels=40, channels=10)
val_dataloader = dict(dataset=dict(pipeline=_base_.torchvision_pipeline))
test_dataloader = val_dataloader
