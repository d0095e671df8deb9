"""Which optimiser suits a kind of net: the base's for nets with batch norms, AdamW for all others."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cache
from typing import Any

from mmengine.config import Config, ConfigDict

from .. import kept
from ..catalog.spec import Spec
from ..data.dataset import Task
from .configs import SCOPE_OF, kind
from .expects import parameters_of

#: What of the catalog's convolutional nets has no batch norm, by family or name; nor has any transformer.
NO_BATCH_NORM = {
    *("alexnet", "convnext", "convnextv2", "dinov3", "lenet", "nin", "overfeat", "squeezenet", "zfnet"),
    *("googlenet_original", "vgg11", "vgg13", "vgg16", "vgg19"),
}
#: AdamW for 16 images, as Swin's authors train it (arXiv 2103.14030, sec. A2.2 and A2.3).
_ADAMW: dict[Task, dict[str, Any]] = {
    "detection": {"lr": 1e-4, "betas": (0.9, 0.999), "weight_decay": 0.05},
    "segmentation": {"lr": 6e-5, "betas": (0.9, 0.999), "weight_decay": 0.01},
}
_VITDET_WEIGHT_DECAY = 0.1  # of a plain ViT in detection (arXiv 2203.16527, sec. A.2)
_LAYER_DECAY = "mmbackbones.LayerDecayOptimWrapperConstructor"


def has_batch_norm(spec: Spec) -> bool:
    """Whether the network has batch norms; only one outside the catalog is built to see, without values."""
    if spec.source == "own":
        return _shows_batch_norm(spec.source, spec.upstream)
    if ":" in spec.name:
        return kept.fact("batch norm", spec.name, lambda: _shows_batch_norm(spec.source, spec.upstream))
    return spec.kind != "transformer" and not {spec.family, spec.name} & NO_BATCH_NORM


@cache
def _shows_batch_norm(source: str, upstream: str) -> bool:
    from torch.nn.modules.batchnorm import _BatchNorm

    from ..feature_nets.specs import without_values
    from ..feature_nets.steps import opened

    net = without_values(lambda: opened(source, upstream, 3, {})).net
    return any(isinstance(module, _BatchNorm) for module in net.modules())


def is_plain(spec: Spec) -> bool:
    """Whether the backbone is a plain transformer: one width at all strides."""
    return len(spec.channels) > 1 and len(set(spec.channels.values())) == 1


def layer_decay_of(spec: Spec) -> float:
    """The rate at which the learning rate falls from layer to layer of a pretrained net without batch norm.

    0.7 for a plain ViT (arXiv 2203.16527, sec. A.2); none, 1.0, for Swin, whose authors have none; 0.9 for
    other nets of stages (between ConvNeXt's 0.8 and 0.95, arXiv 2201.03545, sec. A.3).
    """
    return 0.7 if is_plain(spec) else 1.0 if spec.family == "swin" else 0.9


def optimizer_for(
    spec: Spec,
    task: Task,
    base: Mapping[str, Any],
    *,
    replaced: Mapping[str, Any],
    pretrained: bool,
    frozen: bool = False,
    paramwise_cfg: Mapping[str, Any] | None = None,
) -> tuple[ConfigDict, list[str]]:
    """The ``optim_wrapper`` for a backbone, and what was done, one sentence each.

    Args:
        spec: The backbone.
        task: What the model is for.
        base: The base's ``optim_wrapper``; it is not changed.
        replaced: The backbone that the base had.
        pretrained: Whether the new one starts from weights.
        frozen: Whether it keeps all of them.
        paramwise_cfg: Layer-wise rates in place of the usual ones, as ``dict(decay_rate=0.7, by="stage")``;
            an empty one for the same rate everywhere. The usual ones are those of :func:`layer_decay_of`
            for a pretrained net without batch norm; where the base has a rate for its backbone, that stays.
    """
    wrapper, notes = ConfigDict(copy.deepcopy(dict(base))), []
    if "Decay" in str(wrapper.get("constructor", "")):  # layers of the old backbone, by its names
        notes.append(f"{wrapper.pop('constructor')} goes: it counts the old backbone's layers.")
        custom = _kept_beside_decay(wrapper.pop("paramwise_cfg", None) or {})
        wrapper.update({"paramwise_cfg": ConfigDict(custom_keys=custom)} if custom else {})
    rules = wrapper.get("paramwise_cfg") or ConfigDict()
    batch_norm = has_batch_norm(spec)
    if not batch_norm and kind(wrapper.optimizer) == "SGD":
        wrapper.optimizer = ConfigDict(type="AdamW", **_ADAMW[task])
        if task == "detection" and is_plain(spec):
            wrapper.optimizer.weight_decay = _VITDET_WEIGHT_DECAY
        notes.append(
            f"AdamW with lr={wrapper.optimizer.lr:g} for 16 images, since the backbone has no batch norm."
        )
    if paramwise_cfg is None and not batch_norm and pretrained and not frozen:
        own = (rules.get("custom_keys") or {}).get("backbone", {}).get("lr_mult", 1.0) != 1.0
        paramwise_cfg = {"decay_rate": 1.0 if own else layer_decay_of(spec), "by": "layer"}
        if (rate := paramwise_cfg["decay_rate"]) < 1:
            notes.append(f"Its learning rate falls from layer to layer: layer-wise decay {rate}.")
    if paramwise_cfg:
        custom = _kept_beside_decay(rules)
        wrapper.constructor = _LAYER_DECAY
        wrapper.paramwise_cfg = ConfigDict({**paramwise_cfg, **({"custom_keys": custom} if custom else {})})
    else:
        notes += _drop_keys_of(replaced, SCOPE_OF[task], rules)
        if not pretrained and (rules.get("custom_keys") or {}).pop("backbone", None):
            notes.append("The backbone learns as fast as the rest, since it starts from random weights.")
    return wrapper, notes


def state_batch(cfg: Config, before: str) -> None:
    """Say that the learning rate is for 16 images, where AdamW took the place of the optimiser ``before``."""
    if kind(cfg.optim_wrapper.optimizer) != before:
        cfg.auto_scale_lr = {"enable": False, "base_batch_size": 16}


def _kept_beside_decay(rules: Mapping[str, Any]) -> dict[str, Any]:
    """The base's rules for parts of the model, without those for modules of its own backbone.

    Nor is there a weight decay "times 1", which layer decay would take for a wish that norms and biases
    decay too.
    """
    return {
        part: {key: value for key, value in rule.items() if (key, value) != ("decay_mult", 1.0)}
        for part, rule in (rules.get("custom_keys") or {}).items()
        if not part.startswith("backbone.")
    }


def _drop_keys_of(replaced: Mapping[str, Any], scope: str, rules: Mapping[str, Any]) -> list[str]:
    """Take the rules for modules of the old backbone out of ``rules``; says which.

    Rules of weight decay alone are about kinds of tensors (norms, tables of positions), which the new one may
    have too: they stay.
    """
    keys = rules.get("custom_keys") or {}
    gone = [key for key in keys if key.startswith("backbone.")]
    if rest := [key for key in keys if key not in {*gone, "backbone"} and {*keys[key]} - {"decay_mult"}]:
        params = parameters_of(replaced, scope)
        gone += [key for key in rest if any(key in name for name in params)]
    for key in gone:
        del keys[key]
    return [f"paramwise_cfg: keys of the old backbone's modules go: {', '.join(gone)}."] if gone else []
