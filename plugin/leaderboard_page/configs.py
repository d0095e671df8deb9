"""Configs of runs for the page: each text as lines of one table, and what of it differs on the board."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import InputError
from ..leaderboard.resolve import differing


def as_lines(texts: Mapping[str, str]) -> tuple[list[str], dict[str, list[int]]]:
    """All lines that occur, each once, and of each text the numbers of its lines: configs are much alike."""
    places: dict[str, int] = {}
    numbers = {
        name: [places.setdefault(line, len(places)) for line in text.splitlines()]
        for name, text in texts.items()
    }
    return list(places), numbers


def own_values(texts: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Of each config what is not the same in all, by dotted name.

    Raises:
        InputError: a config is not plain values.
    """
    found: dict[str, dict[str, Any]] = {name: {} for name in texts}
    if not texts:
        return found
    for way, values in differing([values_of(text, name) for name, text in texts.items()]).items():
        for name, value in zip(texts, values, strict=True):
            if value is not None:
                found[name][way] = value
    return found


def values_of(text: str, name: str) -> dict[str, Any]:
    """The values of a config of plain values, as a run has it; no code of it is run.

    Raises:
        InputError: it is no such config; ``name`` says which.
    """
    try:
        return {
            ast.unparse(target): _value(node.value)
            for node in ast.parse(text).body
            if isinstance(node, ast.Assign)
            for target in node.targets
        }
    except (SyntaxError, ValueError) as error:
        raise InputError(
            f"The config of run {name} is not plain values: {error}. Delete its folder to run it again."
        ) from error


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "dict" and not node.args:
        return {str(one.arg): _value(one.value) for one in node.keywords}
    if isinstance(node, ast.Dict):
        keys: Sequence[ast.expr | None] = node.keys
        return {ast.literal_eval(key): _value(one) for key, one in zip(keys, node.values, strict=True) if key}
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_value(one) for one in node.elts]
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "set" and not node.args:
        return []
    return ast.literal_eval(node)
