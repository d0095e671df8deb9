"""Which configs there are, and which of them are the same model as far as swap and shapes can tell."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "build" / "swap_sweep"
INDEX = CACHE / "index.json"
#: What swap never reads and no map depends on: losses (every key that starts so), classes, training and
#: testing settings, weights to start from.
IGNORED = {
    *("num_classes", "num_things_classes", "num_stuff_classes", "class_weight", "ignore_index"),
    *("align_corners", "dropout_ratio", "train_cfg", "test_cfg", "init_cfg", "pretrained"),
}


def names() -> list[str]:
    """All configs of the two wheels."""
    from mmbackbones.compose.configs import shipped_names

    return [f"{package}::{name}" for package in ("mmdet", "mmseg") for name in shipped_names(package)]


def family(name: str) -> str:
    return name.partition("/")[0]


def normalised(node: Any, key: str = "") -> Any:
    """A model without what is :data:`IGNORED`; of a data_preprocessor only its type."""
    if isinstance(node, dict):
        if key == "data_preprocessor":
            return {"type": str(node.get("type"))}
        return {
            key: normalised(value, key)
            for key, value in node.items()
            if key not in IGNORED and not key.startswith("loss")
        }
    if isinstance(node, (list, tuple)):
        return [normalised(one) for one in node]
    return node if isinstance(node, (int, float, bool, type(None))) else str(node)


def key_of(model: dict[str, Any], scope: str) -> str:
    text = json.dumps([scope, normalised(model)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def index(every: Iterable[str]) -> dict[str, str]:
    """For each config the key of its model, or why it has none; read once, what failed again each time."""
    from mmbackbones import InputError
    from mmbackbones.compose.configs import load_config

    known = json.loads(INDEX.read_text()) if INDEX.is_file() else {}
    found: dict[str, str] = {}
    for name in every:
        found[name] = known.get(name, "")
        if found[name] and not found[name].startswith("cannot be read"):
            continue
        try:
            cfg = load_config(name)
        except InputError as error:
            lacking = "no model" if "has no `model" in str(error) else f"cannot be read: {error}"
            found[name] = " ".join(lacking[:1000].split())
            continue
        found[name] = key_of(cfg.model.to_dict(), str(cfg.default_scope))
    INDEX.write_text(json.dumps(found, indent=0))
    return found


def is_key(text: str) -> bool:
    return len(text) == 16 and " " not in text


def first_names(index: dict[str, str]) -> dict[str, str]:
    """The first config of each distinct model, by key."""
    found: dict[str, str] = {}
    for name, key in index.items():
        if is_key(key):
            found.setdefault(key, name)
    return found
