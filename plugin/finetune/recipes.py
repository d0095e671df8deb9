"""Which shipped config fits an amount of data, by the selection tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..catalog import selection
from ..catalog.selection import choices
from ..data.dataset import TASKS, Task
from ..errors import InputError, nearest

AUTO = "auto"


@dataclass(frozen=True)
class Recipe:
    """How to fine-tune on an amount of images: rows of the selection tables.

    Attributes:
        name: as in ``--recipe`` and in the names of the configs.
        below: for fewer training images than this; None for any number.
        backbones: as in the names of the configs; the first is taken if the user names none.
        why: what trains, and the reason.
    """

    name: str
    below: int | None
    backbones: tuple[str, ...]
    why: str


_TUNED = [choice for choice in choices() if choice.task == "finetune"]
RECIPES = tuple(
    Recipe(
        amount.name,
        amount.below,
        tuple(dict.fromkeys(choice.label for choice in _TUNED if choice.scene == amount.name)),
        amount.why,
    )
    for amount in selection.AMOUNTS
)


#: The names with their thresholds, for ``--help``.
AMOUNTS = ", ".join(
    f"{recipe.name} ({f'below {recipe.below}' if recipe.below else 'more'})" for recipe in RECIPES
)


def find_recipe(name: str) -> Recipe:
    """The recipe ``name``.

    Raises:
        InputError: there is none.
    """
    for recipe in RECIPES:
        if recipe.name == name:
            return recipe
    known = [AUTO, *(recipe.name for recipe in RECIPES)]
    raise InputError(f"--recipe '{name}' is unknown. Allowed: {', '.join(known)}.")


def recipe_for(images: int) -> Recipe:
    """The recipe for a number of training images."""
    return find_recipe(selection.amount_for(images).name)


def config_name(recipe: Recipe, task: str | None, backbone: str | None = None) -> str:
    """Name of the shipped config, as ``finetune/faster-rcnn_swin-tiny_fpn_1xb4-hundreds-24e_coco``.

    Args:
        recipe: one of ``RECIPES``.
        task: ``detection`` (Faster R-CNN with FPN) or ``segmentation`` (DeepLabV3+; UPerNet for Swin).
        backbone: one of ``recipe.backbones``; ``_`` is read as ``-``.

    Raises:
        InputError: no or an unknown task, or a backbone that the recipe does not have.
    """
    if task not in TASKS:
        given = "--recipe needs a task" if task is None else f"--task '{task}' is unknown"
        raise InputError(f"{given}: give --task {' or --task '.join(TASKS)}.")
    chosen = recipe.backbones[0] if backbone is None else backbone.replace("_", "-")
    if chosen not in recipe.backbones:
        owners = {name: other.name for other in RECIPES for name in other.backbones}
        near = [f"{name} has --recipe {owners[name]}" for name in nearest(chosen, owners)[:1]]
        raise InputError(
            f"--backbone '{backbone}': the recipe '{recipe.name}' has {', '.join(recipe.backbones)}. "
            + "".join(f"{hint}. " for hint in near if chosen in owners)
            + "For any other backbone, copy the recipe's config and change the name in fill()."
        )
    wanted = (recipe.name, task, chosen)
    return next(each.config for each in _TUNED if (each.scene, each.kind, each.label) == wanted)


def choose(
    name: str,
    task: str | None,
    data: Path | None,
    backbone: str | None = None,
    *,
    ignore_labels: Sequence[int] = (),
    cache_dir: Path,
    progress: Callable[[str, int, int], None] | None = None,
) -> tuple[str, str]:
    """The config for a recipe, and a sentence that says which and why.

    Args:
        name: a recipe, or ``auto`` for the one that fits the number of training images in ``data``.
        task: ``detection`` or ``segmentation``.
        data: the user's folder; only ``auto`` needs it here.
        backbone: one of the recipe's; None for its first.
        ignore_labels: segmentation: label values of pixels to ignore in ``data``.
        cache_dir: folder for what recognising the data writes.
        progress: called with (what is read, files read, files in all).

    Raises:
        InputError: something is unknown or missing, or the data is not recognised.
    """
    if name != AUTO:
        recipe = find_recipe(name)
        return config_name(recipe, task, backbone), f"recipe {recipe.name}, as given: {recipe.why}"
    config_name(RECIPES[0], task)  # checks the task before the data is read
    if data is None:
        raise InputError("--recipe auto counts the training images: give their folder with --data.")
    from ..data.layouts import recognise

    assumed: Task = "detection" if task == "detection" else "segmentation"
    found = recognise(data, assumed, cache_dir=cache_dir, ignore_labels=ignore_labels, progress=progress)
    count = found.train.count
    recipe = recipe_for(count)
    limit = f"fewer than {recipe.below}" if recipe.below else f"{RECIPES[-2].below} or more"
    return (
        config_name(recipe, task, backbone),
        f"recipe {recipe.name}: {count} training images are {limit}, {recipe.why}",
    )
