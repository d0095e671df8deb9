_base_ = ["../detection/mask-rcnn_resnet50_fpn_1x_coco.py"]
