"""Any model with any backbone: what shipped configs take from the table, ``mmbackbones config`` writes."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

from mmengine.config import Config, ConfigDict

from ..catalog.spec import STAGES, Spec
from ..errors import InputError, nearest
from ..feature_nets.specs import get_spec
from .backbones import starts_from
from .configs import SCOPE_OF, kind, load_config
from .exchange import exchange
from .models import EFFICIENTDETS, MODELS, Model
from .optimizers import has_batch_norm, optimizer_for, state_batch
from .scale import reference_scale, set_scale

#: Arguments of the model's neck; all others are the backbone's.
_NECK = ("out_channels", "num_outs", "neck_cfg")


class Filled(NamedTuple):
    """What of a config follows from model and backbone."""

    model: ConfigDict
    optim_wrapper: ConfigDict


def fill(
    base: Mapping[str, Any],
    model: str,
    backbone: str,
    *,
    pretrained: bool | str = True,
    paramwise_cfg: Mapping[str, Any] | None = None,
    **args: Any,
) -> Filled:
    """``model`` with ``backbone``, and the optimiser that suits both, over a base config::

        _base_ = ["mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py"]
        from mmbackbones.compose.filling import fill

        model, optim_wrapper = fill(_base_, "faster-rcnn", "resnet50")

    Both are whole: they take the place of the base's, and what is special is set in them afterwards, as
    ``model.rpn_head.update(feat_channels=64)``.

    Args:
        base: What the config inherits; it is not changed. Where it has no model, as a base of data and
            schedule only, the model is that of the table's base.
        model: A key of :data:`.models.MODELS`.
        backbone: A catalog name, ``timm:<name>`` or ``torchvision:<name>``.
        pretrained: Start from the backbone's default weights, where it has any; a tag, an address or a
            file for others; False for random ones.
        paramwise_cfg: Layer-wise learning rates other than the usual ones for this kind of net, as
            ``dict(decay_rate=0.8, by="layer")``; an empty one for none.
        **args: Of the backbone, or ``out_channels``, ``num_outs`` and ``neck_cfg`` (all others) of the
            model's neck; they win over the defaults of the table. ``None`` takes a default away.

    Raises:
        InputError: no such model, backbone or weights, or the backbone cannot feed the model.
    """
    weights = pretrained if isinstance(pretrained, str) else None
    filled, _ = _fill(base, model, backbone, bool(pretrained), weights, paramwise_cfg, args)
    for part, value in filled._asdict().items():
        if part in base:
            value["_delete_"] = True  # mmengine's word for: in place of the base's
    return filled


def compose(
    model: str,
    backbone: str,
    *,
    pretrained: bool = True,
    weights: str | None = None,
    output_stride: int | None = None,
) -> tuple[Config, list[str]]:
    """The config of ``model`` with ``backbone``, for the base's own data set.

    Args:
        model: A key of :data:`.models.MODELS`.
        backbone: A catalog name, ``timm:<name>`` or ``torchvision:<name>``.
        pretrained: Start from the backbone's default weights, where it has any.
        weights: Instead of the default ones: a tag, an address or a file, as ``pretrained`` of a backbone.
        output_stride: For models that dilate the backbone: 8 (the default), 16 or 32.

    Returns:
        The config, and what was decided, one sentence each.

    Raises:
        InputError: no such model or backbone, or a backbone that cannot feed the model.
    """
    row, spec = _row(model), get_spec(backbone)
    _check_feeds(model, row, spec)
    if output_stride is not None and row.dilated is None:
        raise InputError(f"--output-stride {output_stride}: {model} dilates no backbone; leave it out.")
    args = {} if output_stride is None else {"output_stride": output_stride}
    cfg = _base_of(row, spec)
    optimizer = kind(cfg.optim_wrapper.optimizer)
    filled, notes = _fill(cfg, model, backbone, pretrained, weights, None, args)
    cfg.model, cfg.optim_wrapper = filled
    cfg.pop("data_preprocessor", None)  # a copy of the model's, with the mean of the base's backbone
    if kind(cfg.optim_wrapper.optimizer) != optimizer:
        cfg = Config(cfg.to_dict())  # without the base's file name, whose 4xb2 would say 8 images
    state_batch(cfg, optimizer)
    size = model.removeprefix("efficientdet-")
    if size in EFFICIENTDETS and reference_scale(cfg) != (EFFICIENTDETS[size].img_scale,) * 2:
        set_scale(cfg, (EFFICIENTDETS[size].img_scale,) * 2)
    return cfg, notes


def check_feeds(model: str, backbone: str) -> None:
    """Raises InputError if the backbone lacks a map that the model reads, or cannot be dilated for it."""
    _check_feeds(model, _row(model), get_spec(backbone))


def _fill(
    base: Mapping[str, Any],
    model: str,
    backbone: str,
    pretrained: bool,
    weights: str | None,
    paramwise_cfg: Mapping[str, Any] | None,
    args: Mapping[str, Any],
) -> tuple[Filled, list[str]]:
    """See :func:`fill`; with what was decided, one sentence each."""
    row, spec = _row(model), get_spec(backbone)
    _check_feeds(model, row, spec)
    weights = starts_from(spec, pretrained, weights)
    whole = Config({"model": copy.deepcopy(base["model"] if "model" in base else _base_of(row, spec).model)})
    defaults = _defaults(row, spec, whole.model, trained=weights is not None)
    asked = {**defaults, **{key: value for key, value in args.items() if key not in _NECK}}
    if "frozen_fraction" in asked:  # which says the same in another way
        asked = {**asked, "frozen_stages": args.get("frozen_stages")}
    for over in (row.over(spec) if row.over else {}, _neck_args(whole.model, args)):
        whole.merge_from_dict({"model": over})
    found = exchange(
        whole.model.to_dict(),
        SCOPE_OF[row.task],
        spec,
        pretrained=weights is not None,
        weights=weights,
        **asked,
    )
    frozen = asked.get("frozen_stages") or -1
    wrapper, notes = optimizer_for(
        spec,
        row.task,
        base["optim_wrapper"],
        replaced=found.replaced,
        pretrained=weights is not None,
        frozen=found.frozen,
        paramwise_cfg=paramwise_cfg,
    )
    start = f"The backbone starts from {weights}." if weights else "The backbone starts from random weights."
    start += {
        1: " Its stem and first stage are frozen, its batch norms keep their statistics.",
        STAGES: " All of it is frozen.",
    }.get(frozen, "")
    return Filled(ConfigDict(found.model), wrapper), [start, *notes]


def _defaults(row: Model, spec: Spec, model: ConfigDict, *, trained: bool) -> dict[str, Any]:
    """The table's arguments for a backbone; ``trained`` if it starts from weights."""
    found: dict[str, Any] = {"level_norm": row.level_norm}
    if row.backbone_type is not None:
        found["backbone_type"] = row.backbone_type(spec)
    if spec.family == "swin":
        found["net_kwargs"] = {"drop_path_rate": row.drop_path}
    if trained and row.frozen:
        found["frozen_stages"] = STAGES
    elif trained and has_batch_norm(spec) and model.backbone.get("frozen_stages", -1) >= 0:
        found["frozen_stages"] = model.backbone.frozen_stages  # the base's
    return found


def _neck_args(model: ConfigDict, args: Mapping[str, Any]) -> dict[str, Any]:
    """What of ``args`` goes over the model's neck."""
    said = {key: args[key] for key in ("out_channels", "num_outs") if args.get(key) is not None}
    said |= args.get("neck_cfg") or {}
    if said and not model.get("neck"):
        raise InputError(f"{', '.join(said)}: {model.type} has no neck here, whose arguments they are.")
    return {"neck": said} if said else {}


def _row(model: str) -> Model:
    if model not in MODELS:
        near = ", ".join(nearest(model, MODELS)) or "none"
        raise InputError(
            f"--model '{model}' is unknown. Nearest: {near}. All: {', '.join(MODELS)}. "
            f"Any other model of mmdet and mmseg: mmbackbones swap CONFIG --backbone NAME."
        )
    return MODELS[model]


def _base_of(row: Model, spec: Spec) -> Config:
    return load_config(row.base if has_batch_norm(spec) or row.adamw_base is None else row.adamw_base)


def _check_feeds(model: str, row: Model, spec: Spec) -> None:
    """Raises InputError if the backbone lacks a map or cannot be dilated; says what to choose instead."""
    lacking = [stride for stride in row.strides if stride not in spec.channels]
    stiff = row.dilated is not None and not spec.dilatable
    if not lacking and not stiff:
        return
    others = [
        name
        for name, other in MODELS.items()
        if other.task == row.task
        and set(other.strides) <= set(spec.channels)
        and (other.dilated is None or spec.dilatable)
    ]
    why = (
        f"needs maps at strides {row.strides}, the backbone has {spec.strides}"
        if lacking
        else f"needs output_stride={row.dilated}, and the backbone cannot be dilated"
    )
    flags = f"--strides {','.join(map(str, row.strides))}" + (" --dilatable" if row.dilated else "")
    instead = (
        f"With this backbone choose {', '.join(others)}" if others else f"No model of {row.task} takes it"
    )
    raise InputError(
        f"{model} cannot be fed by '{spec.name}': it {why}. {instead}; "
        f"backbones for {model}: `mmbackbones list {flags}`."
    )
