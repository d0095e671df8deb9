# Plain ViT with the pyramid and the optimiser of ViTDet (arXiv 2203.16527).
_base_ = ["mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "mask-rcnn", "vit_base_patch16_224")
