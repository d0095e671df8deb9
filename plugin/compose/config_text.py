"""A resolved config as a text that a person reads and changes."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from mmengine.config import Config

from .configs import resolved

WIDTH = 100
#: Sections of the text with the keys of each; what is in none of them comes under the last.
SECTIONS: dict[str, tuple[str, ...]] = {
    "Model": ("default_scope", "model"),
    "Data": (
        "train_dataloader",
        "val_dataloader",
        "test_dataloader",
        "test_pipeline",
        "val_evaluator",
        "test_evaluator",
    ),
    "Schedule": (
        "train_cfg",
        "val_cfg",
        "test_cfg",
        "optim_wrapper",
        "param_scheduler",
        "auto_scale_lr",
    ),
    "Runtime": (),
}
#: A key that repeats the one before is written as its name.
SAME_AS = {"test_dataloader": "val_dataloader", "test_evaluator": "val_evaluator"}


def config_text(cfg: Config, header: Sequence[str]) -> str:
    """Python source that mmengine reads back as ``cfg``; ``header`` becomes comments at the top."""
    content = {key: value for key, value in resolved(cfg).items() if value is not None}
    lines = [f"# {line}".rstrip() for line in header]
    named = {key for keys in SECTIONS.values() for key in keys}
    for section, keys in SECTIONS.items():
        own = [key for key in keys or [*content] if key in content and (keys or key not in named)]
        if own:
            lines += ["", f"# {section}"]
        for key in own:
            other = SAME_AS.get(key)
            same = other is not None and content.get(other) == content[key]
            lines.append(f"{key} = {other if same else _source(content[key], 0, len(key) + 3)}")
    return "\n".join(lines) + "\n"


def _source(value: Any, indent: int, used: int) -> str:
    """``value`` as source: on one line if it fits behind ``used`` characters, else one entry a line."""
    if not isinstance(value, (dict, list, tuple)):
        return _atom(value)
    flat = _joined(value, [_source(item, 0, -10_000) for item in _items(value)])
    if indent + used + len(flat) <= WIDTH and "\n" not in flat:
        return flat
    inner = indent + 4
    names = list(value) if isinstance(value, dict) else [""] * len(value)
    parts = [
        _source(item, inner, len(str(name)) + 2) for name, item in zip(names, _items(value), strict=True)
    ]
    return _joined(value, parts, indent)


def _items(value: dict[Any, Any] | Sequence[Any]) -> list[Any]:
    return list(value.values() if isinstance(value, dict) else value)


def _joined(value: Any, parts: list[str], indent: int | None = None) -> str:
    """The parts between the brackets of ``value``; with ``indent`` each on a line of its own."""
    if isinstance(value, dict):
        words = all(isinstance(key, str) and key.isidentifier() for key in value)
        opening, closing = ("dict(", ")") if words else ("{", "}")
        names = [f"{key}=" if words else f"{_atom(key)}: " for key in value]
        parts = [name + part for name, part in zip(names, parts, strict=True)]
    else:
        opening, closing = ("[", "]") if isinstance(value, list) else ("(", ")")
    if indent is not None and parts:
        pad = " " * (indent + 4)
        return opening + "\n" + "".join(f"{pad}{part},\n" for part in parts) + " " * indent + closing
    comma = "," if isinstance(value, tuple) and len(parts) == 1 else ""
    return opening + ", ".join(parts) + comma + closing


def _atom(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    return repr(value)
