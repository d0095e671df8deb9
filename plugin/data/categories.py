"""Makes the categories of both splits agree, as mmdet counts classes in the order of each file."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import InputError, did_you_mean
from .coco import Boxes
from .dataset import some


def repeated(ids: Iterable[Any]) -> list[str]:
    """What occurs more than once."""
    return [key for key, count in Counter(map(str, ids)).items() if count > 1]


def without_groups(parts: list[Boxes], notes: list[str]) -> list[Boxes]:
    """Leave out categories that only group others and have no boxes, as Roboflow writes one."""
    used = {_keys(part)[one["category_id"]] for part in parts for one in part.annotations}
    known = parts[0].categories
    groups = {
        (one["id"], one["name"])
        for one in known
        if (one["id"], one["name"]) not in used
        and any(other.get("supercategory") == one["name"] for other in known if other is not one)
    }
    if not groups or len(groups) == len(known):
        return parts
    notes.append(
        f"The category {some(name for _, name in sorted(groups))} only groups others; it is no class."
    )
    return [_without(part, groups) for part in parts]


def only(parts: list[Boxes], classes: Sequence[str], notes: list[str]) -> list[Boxes]:
    """Keep ``classes`` alone, in their order, of parts whose categories agree; images stay, if empty then.

    Raises:
        InputError: a class is unknown.
    """
    by_name = {one["name"]: one for one in parts[0].categories}
    check_subset(classes, list(by_name))
    kept = [by_name[name] for name in classes]
    ids = {one["id"] for one in kept}
    notes.append(subset_note(classes, list(by_name), "its objects are background"))
    return [
        dataclasses.replace(
            part,
            categories=kept,
            annotations=[one for one in part.annotations if one["category_id"] in ids],
            file=None,
        )
        for part in parts
    ]


def check_subset(classes: Sequence[str], known: Sequence[str]) -> None:
    """Raises:
    InputError: ``classes`` names one twice, or one that the data does not have.
    """
    if twice := repeated(classes):
        raise InputError(f"--classes names {some(twice)} twice. Name each class once.")
    for name in classes:
        if name not in known:
            raise InputError(
                f"--classes: the data has no class '{name}'.{did_you_mean(name, known)} It has "
                f"{some(known, limit=20)}."
            )


def subset_note(classes: Sequence[str], known: Sequence[str], rest: str) -> str:
    """What is trained, and what becomes of the rest."""
    left = [name for name in known if name not in classes]
    out = f"; left out, {rest}: {some(left, limit=8)}" if left else ""
    return f"Classes, in this order: {', '.join(classes)}{out}."


def _keys(part: Boxes) -> dict[Any, tuple[Any, str]]:
    return {one["id"]: (one["id"], one["name"]) for one in part.categories}


def _without(part: Boxes, groups: set[tuple[Any, str]]) -> Boxes:
    kept = [one for one in part.categories if (one["id"], one["name"]) not in groups]
    return dataclasses.replace(part, categories=kept, file=None)


def same_order(train: Boxes, val: Boxes, notes: list[str]) -> tuple[Boxes, Boxes]:
    """Give ``val`` the ids and the order of ``train``'s categories: mmdet counts classes in file order."""
    names = [category["name"] for category in train.categories]
    if twice := repeated(names):
        raise InputError(
            f"'{train.source}': two categories have the name {some(twice)}. Rename or merge them."
        )
    own = {category["id"]: category["name"] for category in val.categories}
    if list(own.values()) == names:
        return train, val
    used = {own[annotation["category_id"]] for annotation in val.annotations}
    unknown = sorted(used - set(names))
    if unknown:
        raise InputError(
            f"'{val.source}' has categories that '{train.source}' has not: {some(unknown)}. Use the same "
            f"categories in both: {some(names, limit=20)}."
        )
    ids = {category["name"]: category["id"] for category in train.categories}
    annotations = [{**one, "category_id": ids[own[one["category_id"]]]} for one in val.annotations]
    notes.append(
        f"The categories of '{val.source.name}' were brought into the order of the training split, in a copy."
    )
    return train, dataclasses.replace(val, annotations=annotations, categories=train.categories, file=None)
