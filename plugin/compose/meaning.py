"""One meaning of each class: the data sets of a config name the same classes in the same order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config

from ..errors import InputError


def check_one_meaning(cfg: Config) -> None:
    """Check that training, validation and test mean the same by class 0, 1, ...

    Raises:
        InputError: their data sets name other classes, or in another order.
    """
    found = [
        (way, names)
        for part in ("train", "val", "test")
        for way, names in _classes(cfg.get(f"{part}_dataloader"), f"{part}_dataloader", cfg)
    ]
    for way, names in found[1:]:
        first, meant = found[0]
        both = min(len(names), len(meant))  # some trackers evaluate classes that follow the trained ones
        if names[:both] != meant[:both]:
            keys = " ".join(f"{key}.metainfo.classes=..." for key, _ in found)
            raise InputError(
                f"{first} has the classes {_shown(meant)}, but {way} {_shown(names)}: class 0, 1, ... would "
                f"mean two things. Say the same for all: --cfg-options {keys}, and num_classes of the heads; "
                f"or give data that has only the classes you want by --data."
            )


def _classes(node: Any, way: str, cfg: Config) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each innermost data set that names classes: its key in the config, and the names."""
    if not isinstance(node, Mapping):
        return
    inner = [(name, node[name]) for name in ("dataset", "datasets") if name in node]
    for name, value in inner:
        if isinstance(value, Mapping):
            yield from _classes(value, f"{way}.{name}", cfg)
        elif isinstance(value, (list, tuple)):
            for number, one in enumerate(value):
                yield from _classes(one, f"{way}.{name}.{number}", cfg)
    if not inner and "type" in node and (names := _named(node, cfg)):
        yield way, names


def _named(dataset: Mapping[str, Any], cfg: Config) -> tuple[str, ...]:
    """The classes that a data set will have; empty where that is known only when it is built."""
    from mmengine.dataset import BaseDataset
    from mmengine.registry import DATASETS

    with DATASETS.switch_scope_and_registry(cfg.get("default_scope")) as registry:
        made = registry.get(dataset["type"]) if isinstance(dataset["type"], str) else dataset["type"]
    if not (isinstance(made, type) and issubclass(made, BaseDataset)):
        return ()
    given = dataset.get("metainfo")
    meta: Any = made  # whose own way to read it needs no data
    classes = meta._load_metainfo(dict(given) if isinstance(given, Mapping) else None).get("classes")
    return (classes,) if isinstance(classes, str) else tuple(classes or ())


def _shown(names: tuple[str, ...]) -> str:
    """The names, of many the first ones, and how many they are."""
    more = f", ... ({len(names)})" if len(names) > 6 else ""
    return f"({', '.join(map(repr, names[:6]))}{more})"
