"""YAML whose every value knows its line, so that an error can name it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..errors import InputError, did_you_mean


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads ``1e-4`` as a number, as YAML 1.2 does; PyYAML wants a dot in it."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)


@dataclass(frozen=True)
class Marked:
    """A file's value and where its parts stand.

    Attributes:
        file: For messages.
        value: What was read.
        lines: Line, counted from 1, of each part by its way, as ``("backbones", 2)``.
    """

    file: Path
    value: Any
    lines: dict[tuple[str | int, ...], int]

    def error(self, message: str, *way: str | int) -> InputError:
        """``message`` with file and line of the part, or of the nearest one that holds it."""
        while way and way not in self.lines:
            way = way[:-1]
        return InputError(f"{self.file}:{self.lines.get(way, 1)}: {message}")

    def check_keys(self, allowed: Collection[str], *way: str | int) -> None:
        """Raises InputError if the mapping at ``way`` is none, or has a key that is not ``allowed``."""
        node = self.value
        for part in way:
            node = node[part]
        name = ".".join(map(str, way)) or "the spec"
        if not isinstance(node, dict):
            raise self.error(f"{name} must be a mapping with keys of {', '.join(allowed)}.", *way)
        for key in node:
            if key not in allowed:
                hint = did_you_mean(str(key), allowed)
                raise self.error(f"{name} has no '{key}'.{hint} Allowed: {', '.join(allowed)}.", *way, key)

    def mapping(self, key: str, allowed: Sequence[str]) -> dict[str, Any]:
        """The mapping under ``key``, empty if there is none; keys other than ``allowed`` raise InputError."""
        if self.value.get(key) is None:
            return {}
        self.check_keys(allowed, key)
        return dict(self.value[key])

    def one_of(self, allowed: Sequence[str], key: str) -> str:
        """The word under ``key``, one of ``allowed``, else InputError."""
        value = str(self.value[key])
        if value not in allowed:
            raise self.error(f"{key} '{value}' is unknown; use one of {', '.join(allowed)}.", key)
        return value

    def whole(self, key: str, least: int, default: int) -> int:
        """The whole number under ``key``, ``least`` or more, else InputError."""
        value = self.value.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self.error(f"{key} '{value}' must be a whole number from {least} on.", key)
        return value

    def wholes(self, key: str) -> list[int]:
        """The list of whole numbers under ``key``, else InputError."""
        values = self.value.get(key) or []
        if not isinstance(values, list) or any(isinstance(v, bool) or not isinstance(v, int) for v in values):
            raise self.error(f"{key} '{values}' must be a list of whole numbers.", key)
        return values

    def truth(self, key: str, default: bool) -> bool:
        """True or false under ``key``, else InputError."""
        value = self.value.get(key, default)
        if not isinstance(value, bool):
            raise self.error(f"{key} '{value}' must be true or false.", key)
        return value

    def positive(self, value: Any, *way: str) -> float | None:
        """``value``, which stands at ``way``, if it is a number above 0 or none, else InputError."""
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
            raise self.error(f"{'.'.join(way)} '{value}' must be a number above 0.", *way)
        return float(value)


def read_marked(path: Path) -> Marked:
    """Read a YAML file.

    Raises:
        InputError: no such file, or no YAML, with the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Spec {path} cannot be read: {error}.") from error
    try:
        node = yaml.compose(text, Loader=_Loader)
        value = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"{path}:{line}: no YAML: {error.problem}.") from error
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{path}:1: no YAML: {error}.") from error
    return Marked(path, value, dict(_lines(node, ())) if node is not None else {})


def _lines(node: yaml.Node, way: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], int]]:
    yield way, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _lines(value, (*way, key.value))
            yield (*way, key.value), key.start_mark.line + 1  # the key's line, not its value's
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _lines(value, (*way, index))
