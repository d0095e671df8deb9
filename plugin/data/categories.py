"""Makes the categories of both splits agree, as mmdet counts classes in the order of each file."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable
from typing import Any

from ..errors import InputError
from .coco import Boxes
from .dataset import some


def repeated(ids: Iterable[Any]) -> list[str]:
    """What occurs more than once."""
    return [key for key, count in Counter(map(str, ids)).items() if count > 1]


def without_groups(train: Boxes, val: Boxes, notes: list[str]) -> tuple[Boxes, Boxes]:
    """Leave out categories that only group others and have no boxes, as Roboflow writes one."""
    used = {annotation["category_id"] for part in (train, val) for annotation in part.annotations}
    groups = [
        one
        for one in train.categories
        if one["id"] not in used
        and any(other.get("supercategory") == one["name"] for other in train.categories if other is not one)
    ]
    if not groups or len(groups) == len(train.categories):
        return train, val
    ids = {one["id"] for one in groups}
    notes.append(f"The category {some(one['name'] for one in groups)} only groups others; it is no class.")
    return tuple(  # type: ignore[return-value]
        dataclasses.replace(
            part, categories=[one for one in part.categories if one["id"] not in ids], file=None
        )
        for part in (train, val)
    )


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
    unknown = [name for name in own.values() if name not in names]
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
