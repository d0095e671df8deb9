# Tens of thousands of images: everything trains, for 80k iterations, on images changed by RandAugment.
_base_ = ["../_base_/finetune_segmentation_tens-of-thousands.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(
    _base_, "deeplabv3plus", "resnet50", pretrained="torchvision://resnet50.IMAGENET1K_V2", output_stride=16
)
model.data_preprocessor.size = (512, 512)
model.decode_head.num_classes = model.auxiliary_head.num_classes = 150
