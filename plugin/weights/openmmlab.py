"""Another library's spelling of a network turned into ours, by order and shape of the layers.

mmdet, mmseg and mmpretrain write networks that timm and torchvision have under names of their own. Layers of
one shape stand in the same order in both, so the k-th of a shape there is the k-th of that shape here; no
table of names per network is needed. That a pairing is no chance shows in the names: see :func:`_pairs`. What
lies otherwise inside a tensor is a short list: :func:`_columns`, :func:`_apart`.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from .layers import Layer, Shape, Sign, layers_of, with_their_norms


@dataclass(frozen=True)
class Renamed:
    """Tensors by our names, and by theirs what stands behind the last layer that ours has."""

    named: dict[str, Tensor]
    beyond: dict[str, Tensor]


def rename(state: Mapping[str, Tensor], own: Mapping[str, Shape], order: Sequence[str], what: str) -> Renamed:
    """The tensors of another library's network by our names; ``state`` is unchanged.

    Args:
        state: of the backbone alone, in the order of its definition.
        own: Shapes of our network's parameters and buffers, in the order of its definition.
        order: Paths of our layers in the order of execution.
        what: How messages call our network.

    Raises:
        InputError: it is another network; the message tells a layer that one has and the other has not.
    """
    state = _apart(state, own)
    pairs, beyond = _paired({name: tuple(value.shape) for name, value in state.items()}, own, order, what)
    named = {}
    for theirs, ours in pairs:
        for role, name in _by_role(theirs, ours):
            value, columns = state[name], _columns(name, state)
            value = value if columns is None else value[..., columns]
            shape = own[role]
            named[role] = value.reshape(shape) if value.numel() == math.prod(shape) else value
    return Renamed(named, {name: state[name] for layer in beyond for name in layer.names.values()})


def give_back(
    state: Mapping[str, Tensor], template: Mapping[str, Tensor], order: Sequence[str], what: str
) -> dict[str, Tensor]:
    """Our tensors by the names of another library's network: what :func:`rename` does, undone.

    Args:
        state: of our backbone, in the order of its definition.
        template: a state dict of theirs; what ours lacks (buffers, norms behind the maps) is taken from it.
        order: Paths of our layers in the order of execution.
        what: How messages call our network.

    Raises:
        InputError: it is another network.
    """
    own = {name: tuple(value.shape) for name, value in state.items()}
    given = {name: value.clone() for name, value in _apart(template, own).items()}
    shapes = {name: tuple(value.shape) for name, value in given.items()}
    for theirs, ours in _paired(shapes, own, order, what)[0]:
        for mine, name in _by_role(theirs, ours):
            columns = _columns(name, template)
            value = state[mine] if columns is None else state[mine][..., columns.argsort()]
            given[name] = value.reshape(shapes[name]) if value.numel() == math.prod(shapes[name]) else value
    return _together(given, template, own)


def _by_role(theirs: Layer, ours: Layer) -> list[tuple[str, str]]:
    """Our name and theirs of each tensor that both layers have; one that stands alone has one role only."""
    if len(theirs.sign) == len(ours.sign) == 1:
        return [(ours.names[_only(ours)], theirs.names[_only(theirs)])]
    return [(name, theirs.names[role]) for role, name in ours.names.items() if role in theirs.names]


def _only(layer: Layer) -> str:
    return next(role for role in layer.names if role != "num_batches_tracked")


def _paired(
    theirs: Mapping[str, Shape], own: Mapping[str, Shape], order: Sequence[str], what: str
) -> tuple[list[tuple[Layer, Layer]], list[Layer]]:
    """The layers that are the same, theirs first, and those that only they have, behind the others.

    Of ours a last norm or the like may be left over too. Ours are tried in the order of definition and in
    that of execution: theirs is one of the two, but for branches of a block (MobileOne, arXiv 2206.04040),
    which are told apart by their convolutions.
    """
    there, here = layers_of(theirs), layers_of(own)
    count = _common(there, here)
    place = {path: index for index, path in enumerate(order)}
    run = sorted(here[:count], key=lambda layer: place.get(layer.path, -1))
    reason = "" if _ends(there, count) and _ends(here, count) else _difference(there, here)
    if not reason:
        tries = [(there[:count], here[:count]), (there[:count], run)]
        tries += [(with_their_norms(there[:count]), with_their_norms(here[:count]))]
        for layers, ours in tries:
            pairs = _pairs(layers, ours) if _signs(layers) == _signs(ours) else []
            if pairs:
                return pairs, there[count:]
    reason = reason or "the layers of one shape stand in another order"
    if len(theirs) > 8 and list(theirs) == sorted(theirs):
        reason += " (its names are sorted: the order of its layers is lost, take the file as first saved)"
    raise InputError(f"{what} and the network of the file differ: {reason}")


def _pairs(theirs: Sequence[Layer], ours: Sequence[Layer]) -> list[tuple[Layer, Layer]]:
    """The k-th layer of each sign in both; nothing if their names contradict each other.

    Layers of one sign that both networks call the same (CSPNeXt's ``main_conv`` and ``short_conv``) are told
    apart by that. Where the two sequences differ, no kind of name may be mixed up: if one kind there stands
    for two here, each of these two stands for that one alone.
    """
    shared = _shared_words(theirs, ours)
    queues: dict[tuple[Sign, str], deque[Layer]] = defaultdict(deque)
    for layer in ours:
        queues[layer.sign, layer.words(shared[layer.sign])].append(layer)
    pairs = [(layer, queues[layer.sign, layer.words(shared[layer.sign])].popleft()) for layer in theirs]
    if [layer.sign for layer in theirs] == [layer.sign for layer in ours]:
        return pairs
    there, here = defaultdict(set), defaultdict(set)
    for a, b in pairs:
        there[a.kind].add(b.kind)
        here[b.kind].add(a.kind)
    mixed = any(len(there[a.kind]) > 1 and len(here[b.kind]) > 1 for a, b in pairs)
    return [] if mixed else pairs


def _shared_words(theirs: Sequence[Layer], ours: Sequence[Layer]) -> dict[Sign, int]:
    """For each sign, how many last words of their paths name its layers alike in both networks."""
    return {
        sign: max(
            count
            for count in range(4)
            if Counter(layer.words(count) for layer in theirs if layer.sign == sign)
            == Counter(layer.words(count) for layer in ours if layer.sign == sign)
        )
        for sign in _signs(ours)
    }


def _signs(layers: Sequence[Layer]) -> Counter[Sign]:
    return Counter(layer.sign for layer in layers)


def _common(theirs: Sequence[Layer], ours: Sequence[Layer]) -> int:
    """How many layers both have the same, in whatever order, from the first on."""
    balance: Counter[Sign] = Counter()
    common = 0
    for count, (a, b) in enumerate(zip(theirs, ours, strict=False), 1):
        balance[a.sign] += 1
        balance[b.sign] -= 1
        if not any(balance.values()):
            common = count
    return common


def _ends(layers: Sequence[Layer], count: int) -> bool:
    """Whether what follows the first ``count`` is a last norm or the like, not more of the same network."""
    known = {(layer.sign, layer.kind) for layer in layers[:count]}
    return 4 * count >= 3 * len(layers) and not any(
        (layer.sign, layer.kind) in known for layer in layers[count:]
    )


def apart(missing: Sequence[object], unexpected: Sequence[object], of: str = "tensors") -> str:
    """In what a file is another network's, both in the order of definition; "" where in nothing."""
    sides = (("the file lacks", missing), ("only the file has", unexpected))
    return ", ".join(
        f"{text} {some_of[0]}" + (f" and {len(some_of) - 1} more {of}" if some_of[1:] else "")
        for text, some_of in sides
        if some_of
    )


def _difference(theirs: Sequence[Layer], ours: Sequence[Layer]) -> str:
    """A layer of ours that theirs have not, and one that ours has not."""
    found = apart(_beyond(ours, theirs), _beyond(theirs, ours), of="layers")
    return found or "the layers stand in another order"


def _beyond(mine: Sequence[Layer], others: Sequence[Layer]) -> list[Layer]:
    """The layers that others have not, or not so often."""
    left, more = _signs(others), []
    for layer in mine:
        left[layer.sign] -= 1
        more += [layer] if left[layer.sign] < 0 else []
    return more


@dataclass(frozen=True)
class Split:
    """One tensor there that is several here.

    Attributes:
        joined: How its name ends there.
        parts: How their names end here, and how many of its equal pieces each takes; ``""`` is left out.
    """

    joined: str
    parts: tuple[tuple[str, int], ...]

    def is_in(self, own: Mapping[str, Shape]) -> bool:
        """Whether a network with the names ``own`` has the parts."""
        return all(any(name.endswith(f".{part}") for name in own) for part, _ in self.parts if part)


#: PVT's (arXiv 2106.13797) and TNT's (arXiv 2103.00112) attention; a bias of keys adds the same to all that
#: one softmax compares, so BEiT (arXiv 2106.08254) has none.
SPLITS = (
    Split("attn.in_proj_weight", (("q.weight", 1), ("kv.weight", 2))),
    Split("attn.in_proj_bias", (("q.bias", 1), ("kv.bias", 2))),
    Split("attn.in_proj_weight", (("qk.weight", 2), ("v.weight", 1))),
    Split("attn.in_proj_bias", (("qk.bias", 2), ("v.bias", 1))),
    Split("qkv.bias", (("q_bias", 1), ("", 1), ("v_bias", 1))),
)


def _apart(state: Mapping[str, Tensor], own: Mapping[str, Shape]) -> dict[str, Tensor]:
    """``state`` with what :data:`SPLITS` names apart, if ours has it so."""
    splits = [split for split in SPLITS if split.is_in(own)]
    found: dict[str, Tensor] = {}
    for name, value in state.items():
        split = next((split for split in splits if name.endswith(f".{split.joined}")), None)
        if split is None:
            found[name] = value
            continue
        pieces = sum(count for _, count in split.parts)
        values = value.split([len(value) // pieces * count for _, count in split.parts])
        path = name.removesuffix(split.joined)
        found |= {
            f"{path}{part}": value for (part, _), value in zip(split.parts, values, strict=True) if part
        }
    return found


def _together(
    state: Mapping[str, Tensor], template: Mapping[str, Tensor], own: Mapping[str, Shape]
) -> dict[str, Tensor]:
    """What :func:`_apart` does, undone, by the names of ``template``; what was left out is 0."""
    splits = [split for split in SPLITS if split.is_in(own)]
    found: dict[str, Tensor] = {}
    for name, value in template.items():
        split = next((split for split in splits if name.endswith(f".{split.joined}")), None)
        if split is None:
            found[name] = state[name]
            continue
        pieces = sum(count for _, count in split.parts)
        path = name.removesuffix(split.joined)
        zeros = torch.zeros_like(value[: len(value) // pieces])
        found[name] = torch.cat([state[f"{path}{part}"] if part else zeros for part, _ in split.parts])
    return found


def _columns(name: str, state: Mapping[str, Tensor]) -> Tensor | None:
    """Which of their columns each of ours is, if their order is another.

    OpenMMLab's Swin (arXiv 2103.14030) merges patches by ``nn.Unfold``: channels first, then rows, then
    columns; timm's have the channels last, and columns before rows.
    """
    found = re.match(r"(.*downsample\.)(reduction|norm)\.", name)
    if not found or f"{found[1]}reduction.weight" not in state:
        return None
    width = state[f"{found[1]}reduction.weight"].shape[-1]
    if state[name].shape[-1:] != (width,):
        return None
    return torch.arange(width).view(width // 4, 2, 2).permute(2, 1, 0).flatten()
