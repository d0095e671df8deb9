_base_ = ["mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "mask-rcnn", "vit_small_patch16_dinov3")
