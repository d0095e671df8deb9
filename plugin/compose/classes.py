"""Fits the number of classes everywhere in a model config."""

from __future__ import annotations

from typing import Any

from ..data.dataset import IGNORE_LABEL
from ..errors import InputError
from .configs import kind, walk

# Heads whose own class count does not follow the data set's.
_FIXED = {"STDCHead": "tells boundary from the rest"}
# A proposal network tells objects from the rest, and sets its one class by itself.
_SKIPPED_KEYS = ("rpn_head", "backbone", "neck")


def set_num_classes(model: dict[str, Any], count: int) -> list[str]:
    """Set the class count of every head and loss inside ``model``, in place.

    Covered: heads in dicts and lists (cascades, auxiliary heads), mask and point heads, losses that
    count classes, ``num_things_classes`` of panoptic heads used for instances, class weights (with or
    without an entry for "no object"), and one-channel binary heads of mmseg.
    Left alone: proposal networks, and heads in a table of exceptions.

    Args:
        model: the ``model`` dict of an mmdet or mmseg config.
        count: number of classes without background.

    Returns:
        What was changed beyond plain counts, one sentence each.

    Raises:
        InputError: the model has a semantic branch with classes of its own, which a data set of
            boxes cannot train.
    """
    notes: list[str] = []
    _visit(model, "", count, notes)
    return notes


def set_ignore_index(model: dict[str, Any]) -> list[str]:
    """Make a segmenter's heads ignore what is ignored in recognised data, in place; returns notes."""
    notes = []
    for key in ("decode_head", "auxiliary_head"):
        heads = model.get(key) or []
        for head in heads if isinstance(heads, (list, tuple)) else [heads]:
            old = head.get("ignore_index", IGNORE_LABEL)
            if old != IGNORE_LABEL:
                head["ignore_index"] = IGNORE_LABEL
                notes.append(
                    f"{kind(head)}: ignore_index={old} became {IGNORE_LABEL}, the value of ignored pixels in "
                    f"any data; what --data has for it is said by --ignore-label."
                )
    return notes


def _visit(node: Any, key: str, count: int, notes: list[str]) -> None:
    if isinstance(node, (list, tuple)):
        for item in node:
            _visit(item, key, count, notes)
    if not isinstance(node, dict) or key in _SKIPPED_KEYS or kind(node) in _FIXED:
        return
    if key == "semantic_head" and node.get("num_classes"):
        raise InputError(
            f"{kind(node)} has semantic classes of its own, which the data does not have; "
            f"take a config without `semantic_head`."
        )
    if node.get("num_stuff_classes"):
        raise InputError(f"{kind(node)} needs panoptic labels ('stuff'); take an instance or box detector.")
    if node.get("num_things_classes") is not None:
        _set_weights(node, node["num_things_classes"], count, notes)
        node["num_things_classes"] = count
    if isinstance(node.get("num_classes"), int):
        _set_weights(node, node["num_classes"], count, notes)
        node["num_classes"] = count
        if node.get("out_channels") == 1 and count != 2:
            _make_multiclass(node, notes)
    for name in list(node):
        _visit(node[name], name, count, notes)


def _set_weights(head: dict[str, Any], old: int, count: int, notes: list[str]) -> None:
    """Class weights for the new count: equal ones are repeated, others cannot be kept."""
    for _, node in walk(head):
        weights = node.get("class_weight")
        if not isinstance(weights, (list, tuple)) or len(weights) not in (old, old + 1):
            continue
        rest = list(weights[old:])
        if len(set(weights[:old])) == 1:
            node["class_weight"] = [weights[0]] * count + rest
        elif old != count:
            node["class_weight"] = [1.0] * count + rest if rest else None
            notes.append(f"{kind(node)}: weights of {old} other classes were dropped.")


def _make_multiclass(head: dict[str, Any], notes: list[str]) -> None:
    """One output channel with a threshold serves two classes only: go back to one channel a class."""
    head.pop("out_channels")
    head.pop("threshold", None)
    for _, node in walk(head.get("loss_decode", {})):
        if node.get("use_sigmoid"):
            node["use_sigmoid"] = False
    notes.append(f"{kind(head)}: one binary channel was replaced by one channel for each class.")
