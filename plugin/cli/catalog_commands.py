"""``mmbackbones list`` and ``mmbackbones info``: what the catalog knows, and what a net costs."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Annotated, Any

import typer

from .. import kept
from ..catalog.spec import Spec
from ..compose.imports import import_nets
from ..errors import InputError, nearest
from .catalog_tables import FAMILY_HEAD, FAMILY_SHORT, HEAD, SHORT, backbone_rows, family_rows
from .catalog_tables import facts as facts_of
from .console import said_once
from .options import Imports, quiet_log


def list_command(
    pattern: Annotated[str, typer.Argument(help="Part of a name, or a pattern such as 'resnet*'.")] = "",
    family: Annotated[str | None, typer.Option(help="Only this family, e.g. resnet.")] = None,
    kind: Annotated[str | None, typer.Option(help="cnn, transformer or hybrid.")] = None,
    task: Annotated[
        str | None,
        typer.Option(help="What the maps suffice for: classification, detection or segmentation."),
    ] = None,
    strides: Annotated[str | None, typer.Option(help="Maps at all these strides, e.g. 4,8,16,32.")] = None,
    min_params: Annotated[str | None, typer.Option(help="Fewest parameters, e.g. 5M.")] = None,
    max_params: Annotated[str | None, typer.Option(help="Most parameters, e.g. 10M or 800K.")] = None,
    max_gflops: Annotated[
        float | None, typer.Option(help="Most billions of multiply-adds for an image of 224 x 224.")
    ] = None,
    se_free: Annotated[bool, typer.Option("--se-free", help="Only nets without SE modules.")] = False,
    dilatable: Annotated[
        bool, typer.Option("--dilatable", help="Only nets that take output_stride.")
    ] = False,
    has_weights: Annotated[
        bool, typer.Option("--has-weights", help="Only nets with pretrained weights.")
    ] = False,
    families: Annotated[bool, typer.Option("--families", help="One line per family.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
    imports: Imports = None,
) -> None:
    """List the catalog's backbones. Nothing is built, nothing is downloaded.

    Example: mmbackbones list --task detection --max-params 10M --se-free --has-weights
    """
    import_nets(imports)
    from ..feature_nets.listing import list_backbones
    from ..feature_nets.specs import get_spec

    shell_pattern = pattern if set(pattern) & set("*?[") else f"*{pattern}*"
    with quiet_log(), said_once():
        names = list_backbones(
            shell_pattern,
            family=family,
            kind=kind,
            task=task,
            strides=() if strides is None else _parse_strides(strides),
            min_params=min_params,
            max_params=max_params,
            max_gflops=max_gflops,
            has_se=False if se_free else None,
            dilatable=True if dilatable else None,
            has_weights=True if has_weights else None,
        )
        if not names:
            raise _nothing_fits(pattern, len(list_backbones(shell_pattern)))
    found = [get_spec(name) for name in names]
    if families:
        head, rows, shown = FAMILY_HEAD, family_rows(found), FAMILY_SHORT
    else:
        head, rows, shown = HEAD, backbone_rows(found), SHORT
    if as_json:
        typer.echo(json.dumps([facts_of(spec) for spec in found], indent=2))
    elif as_markdown:
        lines = [head, ["---"] * len(head), *rows]
        typer.echo("\n".join(f"| {' | '.join(line)} |" for line in lines))
    else:
        cut = [line[:shown] for line in (head, *rows)]
        _print_table(cut, f"{len(found)} backbones; any other: timm:<name>, torchvision:<name>")


def _print_table(lines: list[list[str]], caption: str) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    head, *rows = lines
    table = Table(*head, box=box.SIMPLE_HEAD, caption=caption, show_edge=False, padding=(0, 1, 0, 0))
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def _nothing_fits(pattern: str, alone: int) -> InputError:
    """The error for a choice that is empty; ``alone`` backbones fit the pattern without the options."""
    from ..feature_nets.listing import list_backbones

    if alone:
        what = f"Of the {alone} backbones that fit '{pattern}'" if pattern else "Of all backbones"
        return InputError(f"{what}, none fits all of the options. Leave one out.")
    near = ", ".join(nearest(pattern.strip("*"), list_backbones()))
    return InputError(
        f"No backbone in the catalog fits '{pattern}'. Nearest names: {near or 'none'}. "
        f"'timm:{pattern}' reaches timm's other nets."
    )


def info_command(
    name: Annotated[str, typer.Argument(help="A catalog name, timm:<name> or torchvision:<name>.")],
    input_size: Annotated[
        str, typer.Option(help="Image size for the FLOPs: pixels, or height x width as 512x1024.")
    ] = "224",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    as_row: Annotated[
        bool, typer.Option("--row", help="Print the row that puts it into the catalog.")
    ] = False,
    imports: Imports = None,
) -> None:
    """Show one backbone: channels, cost, weights, and a config to paste. Nothing is downloaded.

    Example: mmbackbones info mobilenetv3_large_100 --input-size 320
    """
    import_nets(imports)
    from ..feature_nets.specs import get_spec

    with quiet_log():
        spec = get_spec(name)
    if as_row:
        typer.echo(catalog_row(spec))
        return
    size = _parse_size(input_size)
    facts = {**facts_of(spec), **costs(spec, size)}
    snippet = config_snippet(spec)
    if spec.source == "own":
        from ..feature_nets.own import taps_of

        facts["taps"] = {stride: str(place) for stride, place in taps_of(spec.name).items()}
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
        "kind": facts["kind"],
        "FLOPs": f"{facts['flops'] / 1e9:.4g} G at {height}x{width} (multiply-adds of convolutions and "
        "matrix products, one image)",
        "SE modules": "yes" if spec.has_se else "no",
        "dilatable": "yes, output_stride=8|16|32" if spec.dilatable else "no, output_stride is refused",
        "input mean": f"{facts['mean']} (RGB, images in 0..1)",
        "input std": f"{facts['std']}",
        "weights": "\n".join(_weights_line(spec, name) for name in spec.weights) or "none",
    }
    if "taps" in facts:
        lines["maps read at"] = "\n".join(f"stride {stride}: {tap}" for stride, tap in facts["taps"].items())
    facts_table = Table.grid(padding=(0, 2))
    for key, value in lines.items():
        facts_table.add_row(key, value)
    console.print(facts_table)
    console.print("\n# over a base config with an FPN (mmdet: after its _base_ line)", highlight=False)
    console.print(snippet, markup=False, highlight=False, soft_wrap=True)


def _weights_line(spec: Spec, weights: str) -> str:
    """The name of ``weights``, with mean and std where they are not those of the default weights."""
    if weights not in spec.inputs:
        return weights
    mean, std = spec.inputs[weights]
    return f"{weights} (mean {list(mean)}, std {list(std)})"


#: Height and width in pixels of the image that the catalog's GFLOPs are for.
_CATALOG_SIZE = (224, 224)


def costs(spec: Spec, size: tuple[int, int]) -> dict[str, Any]:
    """Cost of a backbone up to its last map: the catalog's, to four digits, or counted.

    Args:
        spec: the backbone.
        size: height and width of one image in pixels.

    Returns:
        ``parameters`` that the maps depend on; ``flops``, the multiply-adds of convolutions and matrix
        products for one image; ``kind`` as in :class:`mmbackbones.tracing.cost.Cost`; ``input_size``;
        ``map_sizes``, height and width of each map.
    """
    if spec.gflops and size == _CATALOG_SIZE:  # without torch, whose import takes seconds
        flops, kind = round(spec.gflops * 1e9), spec.kind
    elif spec.source == "own":  # whose code may change
        flops, kind = counted(spec.name, size)
    else:
        flops, kind = kept.fact("cost", (spec.name, size), lambda: counted(spec.name, size))
    return {
        "parameters": spec.params,
        "flops": flops,
        "kind": kind,
        "input_size": list(size),
        "map_sizes": [[-(-side // stride) for side in size] for stride in spec.strides],
    }


def counted(name: str, size: tuple[int, int]) -> tuple[int, str]:
    """Multiply-adds and kind of a backbone, counted on the meta device for one image of ``size``."""
    from ..backbone import build
    from ..feature_nets.specs import get_spec, without_values
    from ..tracing.cost import cost

    spec = get_spec(name)
    net = without_values(lambda: build(name, out_strides=spec.strides))
    found = cost(net, len(spec.mean), size)
    return found.madds, found.kind


def catalog_row(spec: Spec) -> str:
    """The row of ``spec``; for a net outside the catalog cost and kind are counted, paper and year empty."""
    from ..catalog.row import as_row

    if spec.source == "own":
        raise InputError(
            f"--row: '{spec.name}' was registered by your own code, and a row of the catalog could not build "
            f"it. Leave --row out."
        )
    if ":" in spec.name:
        cost = costs(spec, _CATALOG_SIZE)
        gflops = float(f"{cost['flops'] / 1e9:.4g}")
        spec = replace(spec, name=spec.upstream, gflops=gflops, kind=cost["kind"])
    return as_row(spec)


def config_snippet(spec: Spec) -> str:
    """Python text that puts the backbone with an FPN over a base config's model."""
    from ..compose.pairing import pair

    loads: dict[str, Any] = (
        {"init_cfg": {"type": "Pretrained", "checkpoint": spec.weights[0]}} if spec.weights else {}
    )
    pieces = pair(spec.name, **loads)
    for part in ("backbone", "neck"):
        pieces[part] = {"_delete_": True, **pieces[part]}
    lines = [f"    {part}={_as_config(values)}," for part, values in pieces.items()]
    return "\n".join([*_imports_of(spec), "model = dict(", *lines, ")"])


def _imports_of(spec: Spec) -> list[str]:
    """The line of a config that makes a network of the user's own known."""
    if spec.source != "own":
        return []
    from ..feature_nets.own import known_own

    return [f"custom_imports = dict(imports=[{known_own(spec.upstream).home!r}])"]


def _as_config(values: dict[str, Any]) -> str:
    words = {k: _as_config(v) if isinstance(v, dict) else repr(v) for k, v in values.items()}
    return f"dict({', '.join(f'{key}={word}' for key, word in words.items())})"


def _parse_strides(text: str) -> tuple[int, ...]:
    parts = text.replace(",", " ").split()
    if not parts or not all(part.isdecimal() for part in parts):
        raise InputError(f"--strides {text}: write pixels as 4,8,16,32.")
    return tuple(map(int, parts))


def _parse_size(text: str) -> tuple[int, int]:
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdecimal() for part in parts):
        raise InputError(f"--input-size {text}: write pixels as 224, or height x width as 512x1024.")
    height, width = int(parts[0]), int(parts[-1])
    if min(height, width) < 64:
        raise InputError(f"--input-size {text}: maps of stride 32 need images of 64 pixels or more.")
    return height, width
