"""A page for each shipped config, and a table of all."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml
from site_links import DOCS, ROOT, led

from mmbackbones import get_spec
from mmbackbones.catalog.selection import TITLES
from mmbackbones.compose.configs import shipped_names

FOLDERS = ("detection", "segmentation", "finetune")


@dataclass(frozen=True)
class Shipped:
    """One shipped config.

    Attributes:
        name: As the commands take it, ``<folder>/<file>``.
        model: The key of the table of architectures.
        backbone: The catalog's name, or one with its source.
        text: The file.
        comment: What the file says of itself, in its first lines.
        parameters: Of the whole model.
        results: As the metafile has them.
    """

    name: str
    model: str
    backbone: str
    text: str
    comment: str
    parameters: int
    results: tuple[Mapping[str, Any], ...]

    @property
    def measured(self) -> str:
        """The figures in one cell."""
        return "; ".join(
            f"{result['Dataset']}: " + ", ".join(f"{k} {v}" for k, v in result["Metrics"].items())
            for result in self.results
        )


@cache
def every() -> tuple[Shipped, ...]:
    """All shipped configs. None is built: the call of each is read off its text."""
    listed = {}
    for folder in FOLDERS:
        content = yaml.safe_load((ROOT / f"configs/{folder}/metafile.yml").read_text(encoding="utf-8"))
        listed.update({f"{folder}/{model['Name']}": model for model in content["Models"]})
    found = []
    for name in shipped_names("mmbackbones"):
        text = (ROOT / f"configs/{name}.py").read_text(encoding="utf-8")
        model, backbone = called(text)
        head = text.partition("_base_")[0].splitlines()
        comment = " ".join(line.removeprefix("#").strip() for line in head if line.startswith("#"))
        meta = listed[name]
        parameters, results = meta["Metadata"]["Parameters"], tuple(meta.get("Results", ()))
        if ":" not in backbone:  # else it would have to be built
            backbone = get_spec(backbone).name
        found.append(Shipped(name, model, backbone, text, comment, parameters, results))
    return tuple(found)


def called(text: str) -> tuple[str, str]:
    """Architecture and backbone that a config gives ``fill``."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "fill":
            model, backbone = (ast.literal_eval(argument) for argument in node.args[1:3])
            return model, backbone
    raise ValueError(f"a config without a call of fill:\n{text}")


def shipped() -> dict[str, list[Shipped]]:
    """The configs by the catalog's name of their backbone."""
    found: dict[str, list[Shipped]] = {}
    for one in every():
        found.setdefault(one.backbone, []).append(one)
    return found


def pages() -> dict[str, str]:
    """The text of each page by its name below ``docs/``."""
    found = {f"configs/{one.name}.md": page(one) for one in every()}
    return {"configs/index.md": index(), **{f"configs/{f}/index.md": folder(f) for f in FOLDERS}, **found}


def readme(folder: str, page: str) -> str:
    path = ROOT / "configs" / folder / "README.md"
    return led(path.read_text(encoding="utf-8"), path.parent, DOCS / page).rstrip()


def index() -> str:
    """The README of ``configs/`` and a table of all configs."""
    text = readme("", "configs/index.md")
    title, rest = text.split("\n", 1)
    rows = "\n".join(
        f"| [{one.name.partition('/')[2]}]({one.name}.md) | {one.name.partition('/')[0]} | {title_of(one)} | "
        f"{one.backbone} | {one.parameters / 1e6:.1f}M | {one.measured} |"
        for one in every()
    )
    return f"""{title}

| config | folder | model | backbone | parameters | measured here |
| --- | --- | --- | --- | --- | --- |
{rows}

Figures are percent, of the trainings on [results](../results.md).

## How they are made
{rest}

```{{toctree}}
:hidden:

{chr(10).join(f"{folder}/index" for folder in FOLDERS)}
```
"""


def title_of(one: Shipped) -> str:
    return TITLES.get(one.model, one.model)


def folder(name: str) -> str:
    names = "\n".join(one.name.partition("/")[2] for one in every() if one.name.startswith(f"{name}/"))
    return f"{readme(name, f'configs/{name}/index.md')}\n\n```{{toctree}}\n\n{names}\n```\n"


def page(one: Shipped) -> str:
    """What a config is, how it is used, and the file."""
    where, _, name = one.name.partition("/")
    backbone = f"`{one.backbone}`"
    if ":" not in one.backbone:
        backbone = f"[{one.backbone}](../../catalog/{get_spec(one.backbone).family}.md)"
    results = "\n".join(f"- {line}" for line in one.measured.split("; ") if line)
    measured = f"\n## Measured here\n\nIn percent, see [results](../../results.md):\n\n{results}\n"
    return f"""# {name}

{title_of(one)} with {backbone}, {one.parameters / 1e6:.1f} million parameters in all. {one.comment}

```sh
mmbackbones train {one.name} --data DIR
```

In a config of your own:

```python
_base_ = ["mmbackbones::{one.name}.py"]
```
{measured if results else ""}
## The file

```python
{one.text.rstrip()}
```
"""
