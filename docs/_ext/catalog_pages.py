"""The catalog's pages: one for each family, and a table of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from config_pages import Shipped, shipped
from map_pictures import SIDE

from mmbackbones import get_spec, list_backbones
from mmbackbones.catalog.spec import PYRAMID, Spec
from mmbackbones.cli.catalog_commands import config_snippet
from mmbackbones.cli.catalog_tables import FAMILY_HEAD, HEAD, backbone_rows, family_rows
from mmbackbones.compose.optimizers import is_plain


def pages() -> dict[str, str]:
    """The text of each page by its name below ``docs/``."""
    users = shipped()
    found = {f"catalog/{family}.md": family_page(family, some, users) for family, some in families().items()}
    return {"catalog/index.md": index([get_spec(name) for name in list_backbones()]), **found}


def families() -> dict[str, list[Spec]]:
    """The members of each family, the smallest first."""
    found: dict[str, list[Spec]] = {}
    for spec in sorted(map(get_spec, list_backbones()), key=lambda spec: spec.params):
        found.setdefault(spec.family, []).append(spec)
    return found


def paper(name: str) -> str:
    """A link to an arXiv id or a DOI."""
    if name.startswith("10."):
        return f"[{name}](https://doi.org/{name})"
    return f"[arXiv {name}](https://arxiv.org/abs/{name})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def index(specs: list[Spec]) -> str:
    """All families; the table is that of ``mmbackbones list --families``, with links."""
    rows = []
    for family, names, params, gflops, years, papers in family_rows(specs):
        links = ", ".join(paper(name) for name in papers.split(", "))
        rows.append([f"[{family}]({family}.md)", f"{len(names.split())}", params, gflops, years, links])
    toctree = "\n".join(sorted({spec.family for spec in specs}))
    return f"""# Catalog by family

{len(specs)} backbones in {len(rows)} families: parameters and GFLOPs (multiply-adds at
224 x 224) up to the last map. One table of them all: [backbones](../backbones.md). Any other net of timm or
torchvision works too, as `timm:<name>` or `torchvision:<name>`: [coverage](../coverage.md).

The picture on a family's page is Grace Hopper's, by James S. Davis for the US Navy, in the public domain.

{table(["family", "backbones", *FAMILY_HEAD[2:]], rows)}

```{{toctree}}
:hidden:

{toctree}
```
"""


def family_page(family: str, specs: list[Spec], users: Mapping[str, Sequence[Shipped]]) -> str:
    """Papers, the table, weights with their licences, a config to paste, and the configs that we ship."""
    papers = ", ".join(paper(name) for name in dict.fromkeys(spec.paper for spec in specs))
    rows = [[row[0], unbroken(row[1]), *row[2:]] for row in backbone_rows(specs)]
    cells = [set(column) for column in zip(*rows, strict=True)]
    # what no member has, and the one paper, which is named above
    kept = [n for n, held in enumerate(cells) if held != {""} and (HEAD[n] != "paper" or len(held) > 1)]
    first = next((spec for spec in specs if spec.weights), specs[0])
    parts = [
        f"# {family}",
        f"{'Paper' if ',' not in papers else 'Papers'}: {papers}.",
        table([unbroken(HEAD[n]) for n in kept], [[row[n] for n in kept] for row in rows]),
        "What the columns mean: [backbones](../backbones.md).",
        figure(specs[0]),
        "## In a config",
        "Over a base config with an FPN, after its `_base_` line:",
        f"```python\n{config_snippet(first)}\n```",
        f"`mmbackbones info {first.name}` prints the same for any of them.",
        aliases(specs),
        weights(specs),
        configs([user for spec in specs for user in users.get(spec.name, ())]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def figure(spec: Spec) -> str:
    """The picture that ``map_pictures.py`` draws of the maps, and what is seen there."""
    maps = [
        (f"C{stride.bit_length() - 1}", -(-SIDE // stride)) for stride in PYRAMID if stride in spec.channels
    ]
    sizes = ", ".join(f"{level} of {cells} x {cells} cells" for level, cells in maps)
    grids = (
        "\nThe grids in C2 and C3 are the pyramid's that brings patches to strides: it has to be trained."
        if is_plain(spec)
        else ""
    )
    return f"""```{{figure}} ../../build/map_pictures/{spec.name}.png
:alt: A portrait, and beside it what each map makes of it, coarser from left to right

`{spec.name}`, before any training, on a photograph of {SIDE} x {SIDE} pixels: {sizes}.
Cells that a map tells apart have other colours: red, green and blue are the three directions in which its
cells differ most.{grids}
```"""


def unbroken(text: str) -> str:
    """Channels are read side by side."""
    return text.replace(" ", "\u00a0")


def aliases(specs: list[Spec]) -> str:
    named = [f"`{alias}` for `{spec.name}`" for spec in specs for alias in spec.aliases]
    return f"Short names: {', '.join(named)}." if named else ""


def weights(specs: list[Spec]) -> str:
    """Every address that ``init_cfg`` takes, with the licence that timm states."""
    rows = [
        [f"`{spec.name}`", f"`{address}`" + (" (default)" if not number else ""), licence(address)]
        for spec in specs
        for number, address in enumerate(spec.weights)
    ]
    if not rows:
        return "## Pretrained weights\n\nNobody has published any; `pretrained=` takes a file of yours."
    return f"## Pretrained weights\n\n{table(['backbone', 'checkpoint', 'licence'], rows)}"


def licence(address: str) -> str:
    """As timm states it; torchvision states none."""
    import timm

    source, _, name = address.partition("://")
    stated = timm.get_pretrained_cfg(name).license if source == "timm" else None
    return stated or "not stated"


def configs(users: Sequence[Shipped]) -> str:
    if not users:
        return ""
    lines = "\n".join(f"- [{user.name}](../configs/{user.name}.md)" for user in users)
    return f"## Shipped configs\n\n{lines}"
