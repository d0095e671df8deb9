"""Child registries of mmengine's roots, scope ``mmbackbones``.

mmengine imports this module by itself when a config says ``type='mmbackbones.X'``, and then the
``locations`` below, so no ``custom_imports`` are needed.
"""

from __future__ import annotations

from typing import Any

from mmengine import registry as root
from mmengine.registry import Registry

from .checkpoint_files import read_for_mmengine
from .errors import InputError, nearest

SCOPE = "mmbackbones"


class ModelRegistry(Registry):
    """A registry that answers an unknown name with the nearest known ones."""

    def get(self, key: str) -> Any:
        """The registered type for ``key``; ``timm:<name>`` and ``torchvision:<name>`` work too.

        Raises:
            InputError: nobody has ``key``; the message lists the nearest names.
        """
        self.import_from_location()
        if ":" in key:
            from .backbone import backbone_type

            return backbone_type(key)
        found = super().get(key)
        if found is None:
            known = nearest(key, self.module_dict)
            raise InputError(
                f"'{SCOPE}.{key}' is not a registered type. Nearest: {', '.join(known) or 'none'}. "
                f"`mmbackbones list` shows all backbones."
            )
        return found


MODELS = ModelRegistry(
    "model",
    parent=root.MODELS,
    scope=SCOPE,
    locations=[
        "mmbackbones.backbone",
        "mmbackbones.expanded",
        "mmbackbones.preactivation",
        "mmbackbones.necks",
        "mmbackbones.heads",
    ],
)
HOOKS = Registry(
    "hook",
    parent=root.HOOKS,
    scope=SCOPE,
    locations=[
        "mmbackbones.engine.cost",
        "mmbackbones.engine.hooks",
        "mmbackbones.finetune.freeze_report",
        "mmbackbones.finetune.unfreeze",
    ],
)
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    "optimizer wrapper constructor",
    parent=root.OPTIM_WRAPPER_CONSTRUCTORS,
    scope=SCOPE,
    locations=["mmbackbones.finetune.layer_decay"],
)
DATASETS = Registry("dataset", parent=root.DATASETS, scope=SCOPE, locations=["mmbackbones.data.seg_dataset"])
METRICS = Registry("metric", parent=root.METRICS, scope=SCOPE, locations=["mmbackbones.data.metrics"])
TASK_UTILS = Registry("task util", parent=root.TASK_UTILS, scope=SCOPE, locations=["mmbackbones.heads"])
TRANSFORMS = Registry(
    "transform", parent=root.TRANSFORMS, scope=SCOPE, locations=["mmbackbones.finetune.augment"]
)

# Whoever meets one of our types comes by here before any checkpoint is read.
read_for_mmengine()
