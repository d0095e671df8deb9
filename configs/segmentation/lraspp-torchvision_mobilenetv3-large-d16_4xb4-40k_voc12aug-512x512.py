# For torchvision's lraspp_mobilenet_v3_large and what was fine-tuned from it: `mmbackbones convert` writes
# its weights for this config. Tests as torchvision does; the settings of the training are mmseg's.
_base_ = ["../_base_/lraspp_voc12aug.py", "../_base_/torchvision_segmentation.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "lraspp", "torchvision:mobilenet_v3_large")
model.backbone.update(
    type="mmbackbones.EarlyBackbone",
    before=("features.5", None),  # stride 8 is read after the first block of its stage
    net_kwargs=dict(dilated=True),  # its first dilated layer too, which output_stride leaves as it is
    out_strides=(8, 16),  # which that makes the strides of the same two maps
)
val_dataloader = dict(dataset=dict(pipeline=_base_.torchvision_pipeline))
test_dataloader = val_dataloader
