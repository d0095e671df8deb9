# Plain ViT with the pyramid and the optimiser of ViTDet (arXiv 2203.16527).
_base_ = ["mmdet::cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(_base_, "cascade-mask-rcnn", "vit_base_patch16_224")
