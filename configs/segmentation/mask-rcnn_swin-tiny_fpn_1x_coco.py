_base_ = ["../detection/mask-rcnn_swin-tiny_fpn_1x_coco.py"]
