"""The API reference from the docstrings, the commands from their help, and the pages for contributors."""

from __future__ import annotations

import re
from typing import Any

from site_links import DOCS, ELSEWHERE, ROOT, led

import mmbackbones
from mmbackbones.backbone import Backbone
from mmbackbones.heads import HEADS, LOSSES, PARTS
from mmbackbones.registry import (
    DATASETS,
    HOOKS,
    METRICS,
    MODELS,
    OPTIM_WRAPPER_CONSTRUCTORS,
    OPTIM_WRAPPERS,
    TRANSFORMS,
)

#: What a public name returns or takes, and has no place of its own.
TYPES = {
    "mmbackbones.backbone.Backbone": ":members: forward, freeze",
    "mmbackbones.catalog.spec.Spec": ":members: strides, tasks",
    "mmbackbones.tracing.cost.Cost": "",
    "mmbackbones.weights.loading.LoadReport": "",
}
TRAINING = {
    "Hooks": HOOKS,
    "Constructors of optimiser wrappers": OPTIM_WRAPPER_CONSTRUCTORS,
    "Optimiser wrappers": OPTIM_WRAPPERS,
    "Data sets": DATASETS,
    "Metrics": METRICS,
    "Transforms": TRANSFORMS,
}


def pages() -> dict[str, str]:
    """The text of each page by its name below ``docs/``."""
    found = {
        "reference/api.rst": functions(),
        "reference/necks.rst": necks(),
        "reference/heads.rst": heads(),
        "reference/training.rst": training(),
        "reference/commands.md": commands(),
    }
    for name, page in ELSEWHERE.items():
        if page.startswith("reference/") and (ROOT / name).is_file():
            text = (ROOT / name).read_text(encoding="utf-8")
            found[page] = led(text, (ROOT / name).parent, DOCS / page)
    return found


def heading(text: str, line: str = "=") -> str:
    return f"{text}\n{line * len(text)}\n"


def functions() -> str:
    """Every name of ``mmbackbones.__all__``, and the types that they speak of."""
    parts = [heading("Python API"), "What ``import mmbackbones`` has; each is imported at its first use.\n"]
    for name in mmbackbones.__all__:
        kind = "class" if isinstance(getattr(mmbackbones, name), type) else "function"
        parts.append(f".. auto{kind}:: mmbackbones.{name}\n")
    parts.append(heading("Types", "-"))
    parts += [f".. autoclass:: {path}\n   {options}\n" for path, options in TYPES.items()]
    return "\n".join(parts)


def own(registry: Any) -> dict[str, type]:
    """The types of a registry that are no names of the catalog."""
    registry.import_from_location()
    return {
        name: found
        for name, found in sorted(registry.module_dict.items())
        if isinstance(found, type) and not (issubclass(found, Backbone) and found is not Backbone)
    }


def classes(found: dict[str, type]) -> str:
    return "\n".join(f".. autoclass:: {one.__module__}.{one.__qualname__}\n" for one in found.values())


def necks() -> str:
    """The necks, and the kinds of backbone that read their maps elsewhere."""
    known = {name: one for name, one in own(MODELS).items() if one is not Backbone}
    inner = {name: one for name, one in known.items() if ".inner_taps." in one.__module__}
    rest = {name: one for name, one in known.items() if name not in inner}
    text = f"{heading('Necks')}\n``type='mmbackbones.<name>'`` in a config.\n\n{classes(rest)}"
    return f"{text}\n{heading('Backbones that read their maps elsewhere', '-')}\n{classes(inner)}"


def heads() -> str:
    text = f"{heading('Heads')}\n``type='mmbackbones.<name>'`` in a config.\n\n"
    for title, table in (("", HEADS), ("Losses", LOSSES), ("Anchors and box coders", PARTS)):
        text += f"{heading(title, '-')}\n" if title else ""
        text += "".join(
            f".. autoclass:: mmbackbones.heads.{where}.{name}\n\n" for name, where in table.items()
        )
    return text


def training() -> str:
    text = f"{heading('Training')}\n``type='mmbackbones.<name>'`` in a config.\n\n"
    return text + "\n".join(f"{heading(t, '-')}\n{classes(own(r))}" for t, r in TRAINING.items())


def commands() -> str:
    """Each command with its arguments and options, as its ``--help`` says."""
    from typer.main import get_command

    from mmbackbones.cli import app

    group: Any = get_command(app)
    parts = [
        "# Commands",
        "Each has `--help`. Which data `--data` takes: [your own data](../guides/own-data.md).",
    ]
    for name, command in group.commands.items():
        said, _, example = command.help.partition("\n\n")
        parts += [f"## {name}", escaped(said.replace("\n", " "))]
        if example:
            parts.append("```text\n" + example.strip() + "\n```")
        rows = [row(param) for param in command.params if not getattr(param, "hidden", False)]
        if rows:
            parts.append("\n".join(["| option | meaning | default |", "| --- | --- | --- |", *rows]))
    return "\n\n".join(parts) + "\n"


def row(param: Any) -> str:
    """A line of the table of options."""
    is_option = param.param_type_name == "option"
    shown = (
        "/".join([*param.opts, *param.secondary_opts]) if is_option else param.metavar or param.name.upper()
    )
    if is_option and param.metavar and not getattr(param, "is_flag", False):
        shown += f" {param.metavar}"
    default = param.default if not callable(param.default) else None
    told = "" if default in (None, False, (), [], "") else f"`{default}`"
    cells = (f"`{shown}`", param.help or "", told)
    return f"| {' | '.join(' '.join(escaped(cell).split()) for cell in cells)} |"


def escaped(cell: str) -> str:
    """Markdown takes <name> for HTML, a bar for the cell's end, and the two dashes of an option for one."""
    coded = re.sub(r"(?<![\w`-])--[a-z][\w-]*", r"`\g<0>`", cell)
    return coded.replace("|", "\\|").replace("<", "\\<")
