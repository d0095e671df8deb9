"""What of a model trains, stage by stage: parameters, learning rates, weight decay, norms."""

from __future__ import annotations

import copy
import io
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import build_optim_wrapper
from rich import box
from rich.console import Console
from rich.table import Table
from torch import nn

from ..compose.building import building
from ..registry import HOOKS
from ..surgery.norms import FrozenBatchNorm2d
from ..tracing.norms import is_norm
from ..tracing.stages import STAGES
from ..weights.named import without_weights
from .parts import backbones, param_groups, unwrapped


@dataclass
class Part:
    """One stage of a backbone, or one other child of the model.

    Attributes:
        name: ``backbone stem``, ``backbone stage 1`` ..., ``neck``, ``rpn_head`` ...
        params: Number of parameters.
        trainable: How many of them get a gradient.
        groups: Learning rate (before warm-up and schedule) and weight decay of each optimiser group that
            holds trainable ones, different values only.
        ungrouped: Trainable ones that no group holds: they get a gradient, and never a step.
        norms: Number of normalisation layers.
        norms_eval: How many of them are in eval mode, or constant, while the model trains.
    """

    name: str
    params: int = 0
    trainable: int = 0
    groups: set[tuple[float, float]] = field(default_factory=set)
    ungrouped: int = 0
    norms: int = 0
    norms_eval: int = 0

    def as_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        groups = [{"lr": lr, "weight_decay": decay} for lr, decay in sorted(self.groups)]
        return {**vars(self), "frozen": self.params - self.trainable, "groups": groups}


def freeze_report(model: nn.Module, optim_wrapper: Any = None) -> list[Part]:
    """The stages of each backbone in ``model`` (stem, 1 to 4), then all its other children.

    Args:
        model: a detector, a segmentor, or any module; it is not changed.
        optim_wrapper: mmengine's, for learning rates and weight decay; None leaves them out.
    """
    model = unwrapped(model)
    place = _Places(model)
    group_of = {} if optim_wrapper is None else _group_of(optim_wrapper)
    for name, param in model.named_parameters():
        part = place.part(name)
        part.params += param.numel()
        if param.requires_grad:
            part.trainable += param.numel()
            if id(param) in group_of:
                part.groups.add(group_of[id(param)])
            elif optim_wrapper is not None:
                part.ungrouped += param.numel()
    for path, in_eval in _norms(model):
        part = place.part(path, of_module=True)
        part.norms += 1
        part.norms_eval += in_eval
    return [part for part in place.parts.values() if part.params or part.norms]


class _Places:
    """The part of a model that a parameter or module belongs to."""

    def __init__(self, model: nn.Module) -> None:
        self.parts: dict[str, Part] = {}
        self.stages: dict[str, dict[str, int]] = {}
        for path, backbone in backbones(model).items():
            self.stages[path] = backbone.param_stages
            for stage in range(STAGES + 1):
                self._get(_stage_name(path, stage))

    def _get(self, name: str) -> Part:
        return self.parts.setdefault(name, Part(name))

    def part(self, name: str, *, of_module: bool = False) -> Part:
        for path, stages in self.stages.items():
            start = f"{path}." if path else ""
            if name.startswith(start):
                inside = name[len(start) :]
                stage = _stage_of_module(inside, stages) if of_module else stages.get(inside)
                return self._get(_stage_name(path, stage))
        return self._get(name.partition(".")[0])


def _stage_name(path: str, stage: int | None) -> str:
    """``None`` is what belongs to no stage: a plain ViT's pyramid."""
    what = "other" if stage is None else f"stage {stage}" if stage else "stem"
    return f"{path or 'backbone'} {what}"


def _stage_of_module(path: str, stages: dict[str, int]) -> int | None:
    """The first stage of the parameters in the module, or, if it has none, in the nearest module around."""
    while path:
        inside = [stage for name, stage in stages.items() if name.startswith(f"{path}.")]
        if inside:
            return min(inside)
        path = path.rpartition(".")[0]
    return None


def _group_of(optim_wrapper: Any) -> dict[int, tuple[float, float]]:
    """Learning rate and weight decay for the id of each parameter that the optimiser holds."""
    found = {}
    for group in param_groups(optim_wrapper):
        rates = (float(group.get("initial_lr", group["lr"])), float(group.get("weight_decay", 0.0)))
        found.update({id(param): rates for param in group["params"]})
    return found


def _norms(model: nn.Module) -> Iterator[tuple[str, bool]]:
    """Path of each normalisation layer, and whether it stays constant after ``model.train()``."""
    nets = [backbone.feature_net.net for backbone in backbones(model).values()]  # each shares its children
    modes = [(module, module.training) for module in (*model.modules(), *nets)]
    model.train()
    try:
        for path, module in model.named_modules():
            owns = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
            if is_norm(module) and (owns or not list(module.children())):  # not timm's ConvNormAct around it
                yield path, isinstance(module, FrozenBatchNorm2d) or not module.training
    finally:
        for module, mode in modes:
            module.training = mode


def as_text(parts: Sequence[Part]) -> str:
    """The report as a table of plain text, at most 120 characters wide."""
    table = Table(box=box.SIMPLE_HEAD, show_footer=True, pad_edge=False, show_edge=False)
    total = sum(part.params for part in parts), sum(part.trainable for part in parts)
    table.add_column("part", "all", no_wrap=True)
    for head, foot in (
        ("parameters", f"{total[0]:,}"),
        ("trainable", f"{total[1]:,}"),
        ("frozen", f"{total[0] - total[1]:,}"),
        ("learning rate", ""),
        ("weight decay", ""),
        ("norms in eval", ""),
    ):
        table.add_column(head, foot, justify="right", no_wrap=True)
    for part in parts:
        table.add_row(
            part.name,
            f"{part.params:,}",
            f"{part.trainable:,}",
            f"{part.params - part.trainable:,}",
            _rates(part),
            " ".join(f"{decay:g}" for decay in sorted({decay for _, decay in part.groups})) or "-",
            f"{part.norms_eval} of {part.norms}" if part.norms else "-",
        )
    out = io.StringIO()
    Console(file=out, width=120, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines() if line.strip())


def _rates(part: Part) -> str:
    """Learning rates from low to high; says so where trainable parameters are in no group."""
    rates = sorted({lr for lr, _ in part.groups})
    text = "-" if not rates else f"{rates[0]:.3g}" + (f" to {rates[-1]:.3g}" if len(rates) > 1 else "")
    return f"{text}, {part.ungrouped:,} never" if part.ungrouped else text


@HOOKS.register_module()
class FreezeReportHook(Hook):
    """Logs ``freeze_report`` once when a training starts. ``mmbackbones train`` always has it."""

    priority = "LOW"  # after UnfreezeHook

    def before_train(self, runner: Any) -> None:
        if runner.rank == 0:
            runner.logger.info(f"What trains:\n{as_text(freeze_report(runner.model, runner.optim_wrapper))}")


def report_of_config(cfg: Config) -> list[Part]:
    """The report of a config's model as it starts to train; no weights are read or downloaded.

    Raises:
        InputError: the model or its optimiser cannot be built.
    """
    from mmengine.registry import MODELS, init_default_scope

    init_default_scope(cfg.default_scope)
    model_cfg = without_weights(cfg.model)
    optim_cfg = copy.deepcopy(cfg.get("optim_wrapper"))
    if optim_cfg:
        optim_cfg.type = "OptimWrapper"  # that of mixed precision starts on a GPU only
        optim_cfg.pop("loss_scale", None)
        optim_cfg.pop("dtype", None)
    logged = logging.root.manager.disable
    logging.disable(logging.INFO)  # mmengine logs the groups to standard output
    try:
        with building():
            model = MODELS.build(model_cfg)
            wrapper = build_optim_wrapper(model, optim_cfg) if optim_cfg else None
    finally:
        logging.disable(logged)
    return freeze_report(model, wrapper)
