"""Child registries of mmengine's roots, scope ``mmbackbones``.

mmengine imports this module by itself when a config says ``type='mmbackbones.X'``, and then the
``locations`` below, so no ``custom_imports`` are needed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from mmengine import registry as root
from mmengine.registry import Registry, build_from_cfg

from .errors import InputError, nearest
from .weights.files import read_for_mmengine

SCOPE = "mmbackbones"


class ModelRegistry(Registry):
    """A registry in which ``timm:<name>`` and ``torchvision:<name>`` work too.

    Whoever asks for an unknown name gets None, as from any registry; whoever builds it, the nearest names.
    """

    #: The type of a name with a source, or of a user's own network, or None; set where the types are made,
    #: the first of ``locations``.
    open_type: Callable[[str, bool], type | None] | None = None

    def get(self, key: str) -> Any:
        """The registered type for ``key``, or None.

        Raises:
            InputError: a config is being built, and nobody has ``key``; the message lists the nearest names.
        """
        self.import_from_location()
        own = key.removeprefix(f"{SCOPE}.")
        held = own in self.module_dict or self.open_type is None
        found = None if held else self.open_type(own, _builds())  # type: ignore[misc]
        if found is None and ":" not in own:
            found = super().get(key)
        if found is None and "." not in own and _builds():
            near = nearest(own, self.module_dict)
            raise InputError(
                f"'{SCOPE}.{own}' is not a registered type. Nearest: {', '.join(near) or 'none'}. "
                f"`mmbackbones list` shows all. A network of your own: name the file that registers it "
                f"in the config's custom_imports."
            )
        return found


def _builds() -> bool:
    """Whether a registry, be it ours or mmdet's, asks because it builds a config.

    Both ask by the same method, and an error of ours cannot reach the user otherwise: mmengine answers None
    with a KeyError of its own.
    """
    frame = sys._getframe(2)
    asking = {Registry.get.__code__, ModelRegistry.get.__code__}
    while frame.f_back is not None and frame.f_code in asking:
        frame = frame.f_back
    return frame.f_code is build_from_cfg.__code__


MODELS = ModelRegistry(
    "model",
    parent=root.MODELS,
    scope=SCOPE,
    locations=[
        "mmbackbones.backbone",
        "mmbackbones.inner_taps.early",
        "mmbackbones.inner_taps.expanded",
        "mmbackbones.inner_taps.preactivation",
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
        "mmbackbones.engine.stops",
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
OPTIM_WRAPPERS = Registry(
    "optimizer wrapper", parent=root.OPTIM_WRAPPERS, scope=SCOPE, locations=["mmbackbones.engine.precision"]
)
DATASETS = Registry("dataset", parent=root.DATASETS, scope=SCOPE, locations=["mmbackbones.data.seg_dataset"])
METRICS = Registry("metric", parent=root.METRICS, scope=SCOPE, locations=["mmbackbones.data.metrics"])
TASK_UTILS = Registry("task util", parent=root.TASK_UTILS, scope=SCOPE, locations=["mmbackbones.heads"])
TRANSFORMS = Registry(
    "transform",
    parent=root.TRANSFORMS,
    scope=SCOPE,
    locations=["mmbackbones.data.loading", "mmbackbones.finetune.augment"],
)

# mmengine's table of readers, and nothing of torch's, is changed here and not by whoever trains: mmdet's and
# mmseg's own tools import this module alone before they read a checkpoint, and may need none of our models.
read_for_mmengine()
