"""``mmbackbones list`` and ``mmbackbones info``: what the catalog knows, and what a net costs."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from ..errors import InputError, nearest
from ..spec import PYRAMID, Spec


def list_command(
    pattern: Annotated[str, typer.Argument(help="Part of a name, or a pattern such as 'resnet*'.")] = "",
    family: Annotated[str, typer.Option(help="Only this family, e.g. resnet.")] = "",
    se_free: Annotated[bool, typer.Option("--se-free", help="Only nets without SE modules.")] = False,
    dilatable: Annotated[
        bool, typer.Option("--dilatable", help="Only nets that take output_stride.")
    ] = False,
    families: Annotated[bool, typer.Option("--families", help="One line per family.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
) -> None:
    """List the catalog's backbones. Nothing is built, nothing is downloaded.

    Example: mmbackbones list 'mobilenet*' --se-free
    """
    from ..catalog import get_spec, list_backbones

    names = list_backbones(
        pattern if set(pattern) & set("*?[") else f"*{pattern}*",
        family=family or None,
        has_se=False if se_free else None,
        dilatable=True if dilatable else None,
    )
    if not names:
        near = nearest(pattern.strip("*"), list_backbones())
        raise InputError(
            f"No backbone in the catalog fits '{pattern}' and the options. Nearest names: "
            f"{', '.join(near) or 'none'}. 'timm:{pattern or '<name>'}' reaches timm's other nets."
        )
    found = [get_spec(name) for name in names]
    head, rows = (_FAMILY_HEAD, _family_rows(found)) if families else (_HEAD, [_row(spec) for spec in found])
    if as_json:
        typer.echo(json.dumps([_facts(spec) for spec in found], indent=2))
    elif as_markdown:
        lines = [head, ["---"] * len(head), *rows]
        typer.echo("\n".join(f"| {' | '.join(line)} |" for line in lines))
    else:
        from rich import box
        from rich.console import Console
        from rich.table import Table

        shown = slice(0, len(head) - 1)  # with the paper it would not fit 80 columns
        caption = f"{len(found)} backbones; any other: timm:<name>, torchvision:<name>"
        table = Table(*head[shown], box=box.SIMPLE_HEAD, caption=caption)
        for row in rows:
            table.add_row(*row[shown])
        Console().print(table)


def info_command(
    name: Annotated[str, typer.Argument(help="A catalog name, timm:<name> or torchvision:<name>.")],
    input_size: Annotated[
        str, typer.Option(help="Image size for the FLOPs: pixels, or height x width as 512x1024.")
    ] = "224",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show one backbone: channels, cost, weights, and a config to paste. Nothing is downloaded.

    Example: mmbackbones info mobilenetv3_large_100 --input-size 320
    """
    from ..catalog import get_spec

    spec = get_spec(name)
    size = _parse_size(input_size)
    facts = {**_facts(spec), **measure(spec.name, size)}
    snippet = config_snippet(spec)
    if as_json:
        typer.echo(json.dumps({**facts, "config": snippet}, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    height, width = size
    table = Table("", *(f"C{s.bit_length() - 1}" for s in spec.strides), title=spec.name)
    table.add_row("stride", *map(str, spec.strides))
    table.add_row("channels", *map(str, spec.channels.values()))
    table.add_row(f"map at {height}x{width}", *(f"{h}x{w}" for h, w in facts["map_sizes"]))
    console = Console()
    console.print(table)
    lines = {
        "family": f"{spec.family}, built by {spec.source} as {spec.upstream}",
        "parameters": f"{facts['parameters']:,} up to the last map",
        "FLOPs": f"{facts['flops'] / 1e9:.3f} G at {height}x{width} (multiply-adds of convolutions and "
        "matrix products, one image)",
        "SE modules": "yes" if spec.has_se else "no",
        "dilatable": "yes, output_stride=8|16|32" if spec.dilatable else "no, output_stride is refused",
        "input mean": f"{facts['mean']} (RGB, images in 0..1)",
        "input std": f"{facts['std']}",
        "weights": "\n".join(spec.weights) or "none",
    }
    facts_table = Table.grid(padding=(0, 2))
    for key, value in lines.items():
        facts_table.add_row(key, value)
    console.print(facts_table)
    console.print("\n# over a base config with an FPN (mmdet: after its _base_ line)", highlight=False)
    console.print(snippet, markup=False, highlight=False, soft_wrap=True)


def measure(name: str, size: tuple[int, int]) -> dict[str, Any]:
    """Cost of a backbone up to its last map, counted without computing (meta device).

    Args:
        name: as in :func:`mmbackbones.get_spec`.
        size: height and width of one image in pixels.

    Returns:
        ``parameters`` that the maps depend on; ``flops``, the multiply-adds of convolutions and matrix
        products for one image; ``input_size``; ``map_sizes``, height and width of each map.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from ..backbone import build
    from ..catalog import get_spec

    spec = get_spec(name)
    net = build(name, out_strides=spec.strides).eval().to("meta")  # torchvision's RegNet cannot start there
    image = torch.empty(1, len(spec.mean), *size, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        maps = net(image)
    return {
        "parameters": sum(p.numel() for p in net.parameters() if p.requires_grad),
        "flops": counter.get_total_flops() // 2,  # torch counts a multiply-add as two
        "input_size": list(size),
        "map_sizes": [list(m.shape[2:]) for m in maps],
    }


def config_snippet(spec: Spec) -> str:
    """Python text that puts the backbone with an FPN over a base config's model."""
    from ..pairing import pair

    loads: dict[str, Any] = (
        {"init_cfg": {"type": "Pretrained", "checkpoint": spec.weights[0]}} if spec.weights else {}
    )
    pieces = pair(spec.name, **loads)
    for part in ("backbone", "neck"):
        pieces[part] = {"_delete_": True, **pieces[part]}
    lines = [f"    {part}={_as_config(values)}," for part, values in pieces.items()]
    return "\n".join(["model = dict(", *lines, ")"])


def _as_config(values: dict[str, Any]) -> str:
    words = {k: _as_config(v) if isinstance(v, dict) else repr(v) for k, v in values.items()}
    return f"dict({', '.join(f'{key}={word}' for key, word in words.items())})"


_HEAD = ["name", "C2 C3 C4 C5", "params", "SE", "dilates", "paper"]


def _row(spec: Spec) -> list[str]:
    """The cells of one backbone under :data:`_HEAD`."""
    return [
        spec.name,
        " ".join(str(spec.channels.get(stride, "-")) for stride in PYRAMID),
        f"{_millions(spec.params)} M",
        "SE" if spec.has_se else "",
        "yes" if spec.dilatable else "no",
        spec.paper,
    ]


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f}" if count >= 1e5 else f"{count / 1e6:.3f}"


_FAMILY_HEAD = ["family", "backbones", "params", "paper"]


def _family_rows(specs: list[Spec]) -> list[list[str]]:
    """The cells of each family under :data:`_FAMILY_HEAD`, the oldest family first."""
    families: dict[str, list[Spec]] = {}
    for spec in sorted(specs, key=lambda spec: (spec.year, spec.family, spec.params)):
        families.setdefault(spec.family, []).append(spec)
    rows = []
    for family, members in families.items():
        papers = dict.fromkeys(spec.paper for spec in members)
        members.sort(key=lambda spec: spec.params)
        sizes = dict.fromkeys(_millions(spec.params) for spec in (members[0], members[-1]))
        names = " ".join(spec.name for spec in members)
        rows.append([family, names, f"{' to '.join(sizes)} M", ", ".join(papers)])
    return rows


def _facts(spec: Spec) -> dict[str, Any]:
    """What the catalog knows, as JSON takes it."""
    from dataclasses import asdict

    facts = asdict(spec) | {"strides": list(spec.strides)}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in facts.items()}


def _parse_size(text: str) -> tuple[int, int]:
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdecimal() for part in parts):
        raise InputError(f"--input-size {text}: write pixels as 224, or height x width as 512x1024.")
    height, width = int(parts[0]), int(parts[-1])
    if min(height, width) < 64:
        raise InputError(f"--input-size {text}: maps of stride 32 need images of 64 pixels or more.")
    return height, width
