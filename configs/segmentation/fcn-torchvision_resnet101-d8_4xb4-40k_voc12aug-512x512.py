# For torchvision's fcn_resnet101 and what was fine-tuned from it: `mmbackbones convert` writes its
# weights for this config. Tests as torchvision does; the settings of the training are mmseg's.
_base_ = [
    "mmseg::fcn/fcn_r50-d8_4xb4-40k_voc12aug-512x512.py",
    "../_base_/torchvision_segmentation.py",
]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "fcn", "resnet101", pretrained="torchvision://resnet101")
model.decode_head.update(num_convs=1, concat_input=False)
val_dataloader = dict(dataset=dict(pipeline=_base_.torchvision_pipeline))
test_dataloader = val_dataloader
