"""The trials of a spec: the small grid of optimisers that each net goes through on the first seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from ..errors import nearest
from .marks import Marked

#: The grid where a spec names none, as learning rates for 16 images: CNNs lean to SGD, ConvNeXt and
#: transformers to AdamW (arXiv 2410.06373). Those of mmdet's 1x schedules and of Swin's authors.
_GRID: dict[str, dict[str, Any]] = {
    "sgd": {"type": "SGD", "lr": 0.02, "momentum": 0.9, "weight_decay": 1e-4},
    "adamw": {"type": "AdamW", "lr": 1e-4, "betas": [0.9, 0.999], "weight_decay": 0.05},
}
#: Arguments of optimisers whose value is a list, so that a grid of them is a list of lists.
_PAIRS = ("betas", "etas", "step_sizes")


@dataclass(frozen=True)
class Trial:
    """One point of the grid: an optimiser, used as it is, whatever the batch size."""

    name: str
    optimizer: Mapping[str, Any]


def read_trials(marked: Marked, batch_size: int) -> tuple[Trial, ...]:
    """The trials under ``trials``, or the usual ones; a list of values makes one trial of each.

    ``{sgd: {type: SGD, lr: [0.01, 0.02]}}`` are the trials "sgd lr=0.01" and "sgd lr=0.02";
    ``{optimizer: [SGD, AdamW], lr: [0.01, 0.001]}`` are four.

    Raises:
        InputError: with file and line: no optimiser, no learning rate, a bad one, an empty list, or a value
            that stands twice.
    """
    given = marked.value.get("trials")
    if given is None:
        grid = {name: dict(one) for name, one in _GRID.items()}
        for one in grid.values():
            one["lr"] = one["lr"] * batch_size / 16  # linearly, arXiv 1706.02677
        return tuple(Trial(name, one) for name, one in grid.items())
    if not isinstance(given, dict) or not given:
        raise marked.error("trials is empty: name each, as `sgd: {type: SGD, lr: 0.01}`.", "trials")
    if "optimizer" in given:
        return tuple(_points(marked, ("trials",), given, "optimizer"))
    return tuple(
        point for name, one in given.items() for point in _points(marked, ("trials", name), one, "type")
    )


def _points(marked: Marked, way: tuple[str, ...], given: Any, kind: str) -> list[Trial]:
    """The trials that one mapping stands for, at ``way``; its key ``kind`` has the optimiser's name."""
    label = f"trial '{way[-1]}'" if len(way) > 1 else "trials"
    if not isinstance(given, dict) or not {kind, "lr"} <= given.keys():
        raise marked.error(f"{label} needs `{kind}` and `lr` of an optimiser.", *way)
    values = {key: _listed(marked, (*way, key), value) for key, value in given.items()}
    for index, rate in enumerate(values["lr"]):
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or rate <= 0:
            raise marked.error(f"{label}: lr {rate} is no rate above 0.", *way, "lr", index)
    for index, word in enumerate(values[kind]):
        _check_optimizer(marked, word, *way, kind, index)
    found = []
    for point in product(*values.values()):
        one = dict(zip(values, point, strict=True))
        optimizer = {"type" if key == kind else key: value for key, value in one.items()}
        words = [way[-1] if len(way) > 1 else str(one[kind]).lower()]
        words += [f"{key}={_short(one[key])}" for key in one if len(values[key]) > 1 and key != kind]
        if len(way) > 1 and len(values[kind]) > 1:
            words.insert(1, str(one[kind]).lower())
        found.append(Trial(" ".join(words), optimizer))
    return found


def _listed(marked: Marked, way: tuple[str, ...], value: Any) -> Sequence[Any]:
    """The values of one field, as a list; that of :data:`_PAIRS` is a list itself."""
    pairs = way[-1] in _PAIRS and not (isinstance(value, list) and value and isinstance(value[0], list))
    if not isinstance(value, list) or pairs:
        return [value]
    if not value or any(value.count(one) > 1 for one in value):
        raise marked.error(f"{way[-1]} {value}: list different values to try, or write one.", *way)
    return value


def _check_optimizer(marked: Marked, name: Any, *way: str | int) -> None:
    import mmengine.optim  # noqa: F401 - fills the registry with torch's
    from mmengine.registry import OPTIMIZERS

    if OPTIMIZERS.get(str(name)) is None:
        near = ", ".join(nearest(str(name), OPTIMIZERS.module_dict)) or "none"
        raise marked.error(f"optimizer '{name}' is unknown. Nearest: {near}.", *way)


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).replace(" ", "")
