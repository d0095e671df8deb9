"""The layers of a network, read off the names and shapes of its state dict."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Shape = tuple[int, ...]
#: Role in its layer and shape of each tensor that counts.
Sign = tuple[tuple[str, Shape], ...]

_ROLES = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
#: Buffers that follow from the window or the size: no file need have them.
NO_WEIGHT = re.compile(
    r"(^|\.)(relative_position_index|relative_coords_table|attn_mask|attention_bias_idxs|rope\.freqs_(cos|sin))$"
)
#: Layers that a network defines apart from the place where it runs them (ConvNeXt, DenseNet), and by how many
#: the stage in front of which that is has a greater number.
_RUN_BEFORE = {"downsample_layers": 0, "transitions": 1}


@dataclass(frozen=True)
class Layer:
    """Tensors that belong together.

    Attributes:
        names: Of its tensors, by role: ``weight``, ``bias`` ..., ``value`` for one that stands alone.
        sign: What must be equal for two layers to be one: roles and shapes, without trailing ones.
    """

    names: dict[str, str]
    sign: Sign

    @property
    def path(self) -> str:
        """Of the module that holds them."""
        return next(iter(self.names.values())).rpartition(".")[0]

    @property
    def kind(self) -> str:
        """The path without numbers."""
        return re.sub(r"\d+", "", self.path)

    def words(self, count: int) -> str:
        """The last ``count`` names of the path that are no numbers."""
        names = [name for name in self.path.split(".") if not name.isdigit()]
        return ".".join(names[len(names) - min(count, len(names)) :])

    def __str__(self) -> str:
        role, shape = self.sign[-1]
        name = self.names.get(role) or next(iter(self.names.values()))
        return f"{name} ({'x'.join(map(str, shape))})"


def layers_of(shapes: Mapping[str, Shape]) -> list[Layer]:
    """The layers of a state dict in its order; those that are defined apart stand where they are run."""
    names: dict[str, dict[str, str]] = {}
    for name in shapes:
        if NO_WEIGHT.search(name):
            continue
        path, _, last = name.rpartition(".")
        if last in _ROLES:
            key, role = path, last
        elif path.endswith("grn") and last in ("gamma", "beta"):  # ConvNeXt V2's
            key, role = path, "weight" if last == "gamma" else "bias"
        elif last.startswith("in_proj_"):  # nn.MultiheadAttention
            key, role = f"{path}.in_proj", last.removeprefix("in_proj_")
        else:
            key, role = name, "value"
        names.setdefault(key, {})[role] = name
    return _where_run([Layer(found, _sign(found, shapes)) for found in names.values()])


def with_their_norms(layers: Sequence[Layer]) -> list[Layer]:
    """Each layer and the norm right behind it in the same module as one, as branches of a block have them."""
    found: list[Layer] = []
    for layer in layers:
        before = found[-1] if found else None
        is_norm = {len(shape) for _, shape in layer.sign} == {1}
        if before and is_norm and _holder(layer) == _holder(before) and "weight" in before.names:
            names = before.names | {f"norm {role}": name for role, name in layer.names.items()}
            found[-1] = Layer(names, (*before.sign, *((f"norm {role}", shape) for role, shape in layer.sign)))
        else:
            found.append(layer)
    return found


def _holder(layer: Layer) -> str:
    return layer.path.rpartition(".")[0]


def _sign(names: Mapping[str, str], shapes: Mapping[str, Shape]) -> Sign:
    """Roles and shapes; a 1x1 convolution counts as a linear layer, and a scale is called weight or by name.

    A tensor of more axes that stands alone, as a table of positions, counts by its last: its size follows
    from the image's.
    """
    found = {}
    for role, name in names.items():
        shape = shapes[name]
        while len(shape) > 1 and shape[-1] == 1:
            shape = shape[:-1]
        if role != "num_batches_tracked":
            found[role] = shape
    if found.keys() == {"value"} or (found.keys() == {"weight"} and len(found["weight"]) == 1):
        (shape,) = found.values()
        found = {"value": (len(shape), *shape[-1:])}
    return tuple(sorted(found.items()))


def _where_run(layers: Sequence[Layer]) -> list[Layer]:
    moved: dict[str, list[Layer]] = defaultdict(list)
    rest = []
    for layer in layers:
        group, _, after = layer.path.partition(".")
        if group in _RUN_BEFORE:
            stage = int(after.partition(".")[0]) + _RUN_BEFORE[group]
            moved[f"stages.{stage}."].append(layer)
        else:
            rest.append(layer)
    placed = []
    for layer in rest:
        for start in [start for start in moved if layer.path.startswith(start)]:
            placed += moved.pop(start)
        placed.append(layer)
    return [*placed, *(layer for left in moved.values() for layer in left)]
