"""Learning rates that fall from the heads to the image, layer by layer, for every backbone."""

from __future__ import annotations

import fnmatch
import re
from typing import Any

from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from ..backbone import Backbone
from ..errors import InputError
from ..registry import OPTIM_WRAPPER_CONSTRUCTORS
from ..tracing.norms import is_norm
from ..tracing.stages import STAGES
from .parts import backbones

_KEYS = ("decay_rate", "by", "custom_keys")
_BY = ("layer", "stage")
_HEADS = float("inf")  # behind all layers
#: Names of position embeddings, tables of position biases, and tokens; the part behind the last dot.
_POSITION_OR_TOKEN = re.compile(r"pos_?emb|position|rel_pos|token")


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Layer-wise decay of the learning rate (ULMFiT, arXiv 1801.06146, sec. 3.2; BEiT, 2106.08254).

    A parameter of layer ``l`` of a backbone with ``L`` layers behind its stem gets the learning rate
    ``lr * decay_rate ** (L + 1 - l)``; the stem is layer 0, neck and heads have the full rate, and so has a
    plain ViT's fresh pyramid. Layers are read off the network, see ``mmbackbones.tracing.layers``::

        optim_wrapper = dict(
            constructor="mmbackbones.LayerDecayOptimWrapperConstructor",
            optimizer=dict(type="AdamW", lr=1e-4, weight_decay=0.05),
            paramwise_cfg=dict(decay_rate=0.75),
        )

    Norms, biases, all other vectors, position embeddings, tables of position biases and tokens get no
    weight decay; nor does what the network itself excludes (timm's ``no_weight_decay``).

    On ViT and Swin rates and weight decay are those of timm's ``param_groups_layer_decay``. Deviations from
    mmdet's ``LearningRateDecayOptimizerConstructor``, which knows ConvNeXt only: there the number of layers
    is an argument, the blocks of stage 3 count in threes and those of each other stage as one layer; by
    stage it starts from ``num_layers`` too, so that the last stage is already several powers below 1. Here
    it is always one.

    ``paramwise_cfg`` holds:

    * ``decay_rate``: in (0, 1].
    * ``by``: ``'layer'``, or ``'stage'``, where the stem and stages 1 to 4 count as the layers.
    * ``custom_keys``: as mmengine's; of the keys in a parameter's name the longest holds. Its ``lr_mult``
      multiplies the layer's rate, its ``decay_mult`` the weight decay of the config, also where the rules
      above say none. Other entries go into the parameter's group.

    Raises:
        InputError: a value outside these, or a model without a backbone of this package.
    """

    def _validate_cfg(self) -> None:
        given = self.paramwise_cfg
        unknown = sorted(set(given) - set(_KEYS))
        if unknown:
            raise InputError(f"paramwise_cfg has no {unknown}. Allowed: {', '.join(_KEYS)}.")
        rate = given.get("decay_rate")
        number = isinstance(rate, (int, float)) and not isinstance(rate, bool)
        if not number or not 0 < rate <= 1:
            raise InputError(
                f"paramwise_cfg: decay_rate={rate!r}. Allowed: above 0, up to 1, where 1 means no decay; "
                f"usual are 0.65 to 0.9."
            )
        if given.get("by", "layer") not in _BY:
            raise InputError(f"paramwise_cfg: by={given['by']!r}. Allowed: {', '.join(map(repr, _BY))}.")
        custom = given.get("custom_keys", {})
        if not isinstance(custom, dict) or not all(isinstance(value, dict) for value in custom.values()):
            raise InputError(
                f"paramwise_cfg: custom_keys={custom!r}. Write dicts by part of a name, as "
                f"custom_keys=dict(decode_head=dict(lr_mult=10))."
            )
        if self.base_lr is None:
            raise InputError("The optimizer has no lr, which the layers' rates are made of. Set lr=1e-4.")
        super()._validate_cfg()

    def add_params(self, params: list[dict[str, Any]], module: nn.Module, **_: Any) -> None:
        """Append the groups of all trainable parameters of ``module`` to ``params``, the stem's first."""
        by = self.paramwise_cfg.get("by", "layer")
        place = _places(module, by)
        bare = _without_decay(module)
        groups: dict[tuple[float, str], dict[str, Any]] = {}
        for name, param in module.named_parameters():
            if param.requires_grad:
                number, above = place.get(name, (_HEADS, 0))
                settings = self._settings(above, self._custom_key(name), name not in bare)
                group = groups.setdefault((number, repr(settings)), {"params": [], **settings})
                group["params"].append(param)
        for key in sorted(groups):
            params.append(groups[key])
            layer = "neck and heads" if key[0] == _HEADS else f"{by} {key[0]}"
            print_log(_line(layer, groups[key]), logger="current")

    def _custom_key(self, name: str) -> str | None:
        """The longest of the ``custom_keys`` in ``name``, of equally long ones the first by alphabet."""
        keys = [key for key in self.paramwise_cfg.get("custom_keys", {}) if key in name]
        return min(keys, key=lambda key: (-len(key), key), default=None)

    def _settings(self, above: int, custom: str | None, decays: bool) -> dict[str, Any]:
        """Learning rate, weight decay and custom entries of a group ``above`` layers below the heads."""
        given = dict(self.paramwise_cfg["custom_keys"][custom]) if custom else {}
        lr = self.base_lr * self.paramwise_cfg["decay_rate"] ** above * given.pop("lr_mult", 1.0)
        settings: dict[str, Any] = {"lr": lr, **given}
        decay_mult = settings.pop("decay_mult", 1.0 if decays else 0.0)
        if self.base_wd is not None:
            settings["weight_decay"] = self.base_wd * decay_mult
        return settings


def _places(model: nn.Module, by: str) -> dict[str, tuple[int, int]]:
    """Layer (or stage) of each backbone parameter, and how many powers of the rate it is below the heads."""
    found = backbones(model)
    if not found:
        kind = type(getattr(model, "backbone", model)).__name__
        raise InputError(
            f"LayerDecayOptimWrapperConstructor reads the layers of mmbackbones' nets; the model has none of "
            f"them but {kind}. Write backbone=dict(type='mmbackbones.<name>', ...)."
        )
    place = {}
    for path, backbone in found.items():
        numbers = backbone.param_stages if by == "stage" else backbone.param_layers
        top = (STAGES if by == "stage" else max(numbers.values(), default=0)) + 1
        for name, number in numbers.items():
            place[f"{path}.{name}" if path else name] = (number, top - number)
    return place


def _without_decay(model: nn.Module) -> set[str]:
    """Names of the parameters that get no weight decay."""
    bare = set()
    for path, module in model.named_modules():
        for name, param in module.named_parameters(recurse=False):
            if param.ndim <= 1 or name == "bias" or is_norm(module) or _POSITION_OR_TOKEN.search(name):
                bare.add(f"{path}.{name}" if path else name)
    for path, backbone in backbones(model).items():
        bare |= {f"{path}.{name}" if path else name for name in _declared(backbone)}
    return bare


def _declared(backbone: Backbone) -> set[str]:
    """What the upstream's network excludes from weight decay, by its own account (names or patterns)."""
    declares = getattr(backbone.feature_net.net, "no_weight_decay", None)
    patterns = declares() if declares is not None else ()
    return {name for pattern in patterns for name in fnmatch.filter(backbone.param_stages, pattern)}


def _line(name: str, group: dict[str, Any]) -> str:
    settings = ", ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in group.items()
        if key != "params"
    )
    count = sum(param.numel() for param in group["params"])
    return f"{name}: {len(group['params'])} tensors, {count:,} parameters, {settings}"
