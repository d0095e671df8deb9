"""The recipes' configs, read once."""

from __future__ import annotations

import functools

from mmbackbones.compose.configs import load_config, shipped_names

SHIPPED = [name for name in shipped_names("mmbackbones") if name.startswith("finetune/")]
GRADUAL = "finetune/faster-rcnn_resnet50_fpn_1xb4-gradual-unfreezing-24e_coco"


read = functools.cache(load_config)
