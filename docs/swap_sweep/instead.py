"""What to take in place of a config that stock mmdet or mmseg cannot build, train or run, and why."""

from __future__ import annotations

#: Part of what was said, and what to tell a user.
INSTEAD = {
    "no model": "a piece of other configs (schedule, data or test-time augmentation): name one with a model",
    "configs/sort/": "the name of its base lacks the ending .py, in mmdet 3.3.0 itself: take "
    "mmdet::sort/sort_faster-rcnn_r50_fpn_8xb2-4e_mot17halftrain_test-mot17halfval",
    "bytetrack": "names its base by a wrong folder, in mmdet 3.3.0 itself: take "
    "mmdet::bytetrack/bytetrack_yolox_x_8xb4-amp-80e_crowdhuman-mot17halftrain_test-mot17halfval",
    "Detectron2": "detectron2 has no wheel, and swap refuses what it builds: take "
    "mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco",
    "strongsort": "loads weights while it is built: with a network, or after download, as any other",
    "VPD": "needs the packages of stable diffusion, and swap refuses it: take "
    "mmseg::upernet/upernet_r50_4xb2-80k_cityscapes-512x1024",
    "CascadeRPNHead": "a mistake of mmdet 3.3.0 with every mmcv, behind which is another (`sampling`): take "
    "mmdet::cascade_rpn/cascade-rpn_faster-rcnn_r50-caffe_fpn_1x_coco",
    "force_grad_on_level": "a mistake of mmdet 3.3.0, whose FPN has no such argument: swap a Swin into "
    "mmdet::v3det/fcos_r50_fpn_8x4_sample1e-3_mstrain_v3det_2x",
    "'SSDHead' object has no attribute 'loss_cls'": "a mistake of mmdet 3.3.0 with every mmcv, with its own "
    "backbone too: take mmbackbones::detection/ssdlite_mobilenetv2_8xb24-600e_coco",
    "step sign": "random weights give boxes for which mmdet pastes no masks; not tried with trained weights",
    "Please train `detector`": "mmdet trains its detector and its re-identification each alone: "
    "mmdet::faster_rcnn/..., mmdet::reid/...",
}


def instead(said: str) -> str:
    """What to tell of the message ``said``; nothing where nobody has looked at it yet."""
    return next((text for part, text in INSTEAD.items() if part in said), "not looked at yet")
