"""What reads a backbone's maps, necks and heads, and fitting it to maps of other channels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from .configs import kind
from .expects import default_of

Node = dict[str, Any]

#: Arguments of a neck that name the channels of the maps that it takes.
_NECK_WIDTHS = ("in_channels", "embed_dim")
#: Arguments of a neck whose first entries repeat ``in_channels``, since those maps pass through it.
_PASSED_ON = {"SSDNeck": "out_channels"}


@dataclass(frozen=True)
class Widths:
    """Channels of the maps that arrive: those that the config was written for, and those that come now."""

    old: tuple[int, ...]
    new: tuple[int, ...]

    def at(self, value: int) -> int | None:
        """The new number for one of the old ones; of several equal ones the deepest map's."""
        for old, new in zip(reversed(self.old), reversed(self.new), strict=True):
            if old == value:
                return new
        return None

    def translated(self, values: Sequence[int]) -> list[int] | None:
        """The new numbers for a run of old ones, fine to coarse or coarse to fine; None if they are none."""
        count = len(values)
        for old, new in ((self.old, self.new), (self.old[::-1], self.new[::-1])):
            for start in range(len(old) - count, -1, -1):
                if list(old[start : start + count]) == list(values):
                    return list(new[start : start + count])
        return None


def fit_neck(neck: Node, widths: Widths) -> Node:
    """The neck for maps of the new channels.

    Raises:
        InputError: none of its arguments names the old ones.
    """
    fitted = dict(neck)
    for key in _NECK_WIDTHS:
        if key in neck:
            fitted[key] = _put(neck[key], widths, f"neck.{key} of {kind(neck)}")
    if (key := _PASSED_ON.get(kind(neck), "")) and key in neck:
        values = neck[key]
        fitted[key] = type(values)([*fitted["in_channels"], *values[len(fitted["in_channels"]) :]])
    return fitted


def check_consumer(part: Node, necks: Sequence[Node], given: Sequence[int], made: Sequence[int]) -> None:
    """Check that the backbone's maps are read by the neck alone, or without one by the heads alone.

    Args:
        part: The part of the model that holds the backbone.
        necks: Its necks, in order.
        given: Channels of the backbone's maps.
        made: Channels of the maps behind the necks.

    Raises:
        InputError: another part has the channels of these maps too; all that may read them are named.
    """
    apart = tuple(key.removesuffix("backbone") for key in part if key.endswith("_backbone"))  # teacher_neck
    readers = {}
    for key, value in part.items():
        is_head = key.endswith("head")
        if key in ("backbone", "neck") or (apart and key.startswith(apart)) or (is_head and not necks):
            continue
        for path, node in _nodes(value, key):
            widths = node.get("in_channels")
            if not isinstance(widths, (list, tuple)) or len(widths) < 2:
                continue
            if _runs(widths, given) and not (is_head and _runs(widths, made)):
                readers[path] = kind(node)
    if not readers:
        return
    usual = {"neck": kind(necks[0])} if necks else {way: kind(slot) for way, slot in _slots(part)}
    names = ", ".join(f"{path} ({name})" for path, name in {**usual, **readers}.items())
    raise InputError(
        f"Several parts of the model may read the backbone's maps of {list(given)} channels: {names}. Only "
        f"{', '.join(usual) or 'a neck or a head'} would get the new ones. Let one of them read the maps, or "
        f"write the backbone and all in_channels yourself: `mmbackbones info NAME` says them."
    )


def _runs(values: Sequence[int], widths: Sequence[int]) -> bool:
    return Widths(tuple(widths), tuple(widths)).translated(values) is not None


def one_width(neck: Node) -> int | None:
    """The one number of channels that all maps must have for this neck; None if it takes different ones."""
    width = neck.get("embed_dim")
    return width if isinstance(width, int) else None


def fit_heads(part: Node, widths: Widths, scope: str) -> list[str]:
    """Put the new channels into all heads of ``part`` that read the maps, in place.

    Returns:
        The arguments that were set, as ``decode_head.in_channels``.

    Raises:
        InputError: a head's argument names a width that the old maps do not have, or none does.
    """
    done: list[str] = []
    for way, slot in _slots(part):
        for path, node in _nodes(slot, way):
            index = node.get("in_index")
            one_of_several = isinstance(node.get("in_channels"), int) and len(widths.old) > 1
            if index is None and one_of_several and "type" in node:
                index = default_of(node, scope, "in_index")
            if index is not None:
                done += _by_index(node, path, widths, index)
            elif path == way and "in_channels" in node:
                node["in_channels"] = _put(node["in_channels"], widths, f"{path}.in_channels")
                done += [f"{path}.in_channels", *_width_inside(node, path)]
        if way == "roi_head":
            done += _fit_roi_head(slot, widths)
    if not done and widths.old != widths.new:
        heads = ", ".join(f"{way} ({kind(slot)})" for way, slot in _slots(part)) or "no head"
        raise InputError(
            f"The maps had {list(widths.old)} channels, the new ones have {list(widths.new)}, and no "
            f"argument tells {heads}: the width is fixed there. Give such a head an in_channels, or put a "
            f"neck with out_channels before it."
        )
    return done


def fit_rates(part: Node, old: int, new: int) -> list[str]:
    """Rates of the heads' dilations for a map of stride ``new`` in place of ``old``, which see as much.

    At twice the stride that is half the rates (arXiv 1802.02611, sec. 3.1). Returns what was set, in
    sentences.
    """
    notes = []
    for way, head in _slots(part):
        if old != new and (rates := head.get("dilations")):
            head["dilations"] = type(rates)(max(1, rate * old // new) for rate in rates)
            notes.append(f"{way}.dilations {rates} became {head['dilations']} at stride {new}.")
    return notes


def fixed_width(part: Node) -> tuple[int, str] | None:
    """The width that a part cannot be told, with the argument that fixes it: a C4 head's ``shared_head``."""
    roi_head = part.get("roi_head") or {}
    if not roi_head.get("shared_head"):
        return None
    return roi_head["bbox_roi_extractor"]["out_channels"], "roi_head.shared_head"


def _fit_roi_head(roi_head: Node, widths: Widths) -> list[str]:
    """Without a neck the RoI extractors cut out of the backbone's maps, and the heads read what they cut."""
    done = []
    for key, node in roi_head.items():
        for argument, suffix in (("out_channels", "roi_extractor"), ("in_channels", "head")):
            if isinstance(node, dict) and key.endswith(suffix) and argument in node:
                node[argument] = _put(node[argument], widths, f"roi_head.{key}.{argument}")
                done.append(f"roi_head.{key}.{argument}")
    return done


def _by_index(node: Node, path: str, widths: Widths, index: Any) -> list[str]:
    """A head of mmseg: ``in_index`` says which maps it reads, ``in_channels`` their channels."""
    done = []
    if "in_channels" in node:
        value = node["in_channels"]
        indices = list(index) if isinstance(index, (list, tuple)) else [index]
        values = list(value) if isinstance(value, (list, tuple)) else [value]
        try:
            read = [(widths.old[i], widths.new[i]) for i in indices]
        except IndexError:
            raise InputError(f"{path}.in_index={index}, but only {len(widths.old)} maps arrive.") from None
        if [old for old, _ in read] != values:
            raise _fixed(f"{path}.in_channels", value, [old for old, _ in read])
        new = [new for _, new in read]
        node["in_channels"] = type(value)(new) if isinstance(value, (list, tuple)) else new[0]
        done += [f"{path}.in_channels", *_width_inside(node, path)]
    if node.get("c1_in_channels"):
        if node["c1_in_channels"] != widths.old[0]:
            raise _fixed(f"{path}.c1_in_channels", node["c1_in_channels"], widths.old[:1])
        node["c1_in_channels"] = widths.new[0]
        done.append(f"{path}.c1_in_channels")
    return done


def _width_inside(head: Node, path: str) -> list[str]:
    """A head without convolutions, as Segmenter's linear one, has the width of its maps inside."""
    if head.get("num_convs") != 0:
        return []
    read = head["in_channels"]
    head["channels"] = sum(read) if isinstance(read, (list, tuple)) else read
    return [f"{path}.channels"]


def _put(value: Any, widths: Widths, what: str) -> Any:
    several = isinstance(value, (list, tuple))
    new: Any = widths.translated(value) if several else widths.at(value)
    if new is None:
        raise _fixed(what, value, widths.old)
    return type(value)(new) if several else new


def _fixed(what: str, value: Any, old: Sequence[int]) -> InputError:
    return InputError(
        f"{what}={value} is no width of the maps that arrive there, which have {list(old)} channels: what it "
        f"must be for another backbone cannot be told. Write the maps' channels there."
    )


def _slots(part: Node) -> Iterator[tuple[str, Node]]:
    """The heads of a model: what stands under a key that ends in ``head``, one by one."""
    for key, value in part.items():
        if key.endswith("head"):
            several = isinstance(value, (list, tuple))
            for number, node in enumerate(value if several else [value]):
                if isinstance(node, dict):
                    yield f"{key}.{number}" if several else key, node


def _nodes(node: Any, path: str) -> Iterator[tuple[str, Node]]:
    if isinstance(node, dict):
        yield path, node
        for key, value in node.items():
            yield from _nodes(value, f"{path}.{key}")
    elif isinstance(node, (list, tuple)):
        for number, value in enumerate(node):
            yield from _nodes(value, f"{path}.{number}")
