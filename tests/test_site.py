"""The site that ``make docs`` builds: what its generated pages hold, and where all links lead."""

from __future__ import annotations

import fnmatch
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from cases import swept

import mmbackbones
from mmbackbones import registry
from mmbackbones.backbone import Backbone
from mmbackbones.compose.configs import shipped_names
from mmbackbones.heads import HEADS, LOSSES, PARTS

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(?<=\]\()(?!https?:|#)([^)#\s]+)")


@pytest.fixture(scope="module")
def site() -> Iterator[ModuleType]:
    """The Sphinx extension that writes pages."""
    pytest.importorskip("sphinx", reason="sphinx comes with the extra docs")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "docs/_ext")
        import site_pages

        yield site_pages


@pytest.fixture(scope="module")
def pages(site: ModuleType) -> dict[str, str]:
    return site.pages()


def committed() -> list[Path]:
    """The pages that are not generated."""
    found = (ROOT / "docs").rglob("*.md")
    return [path for path in found if path.relative_to(ROOT / "docs").parts[0] not in ignored()]


def ignored() -> set[str]:
    return set(re.findall(r"^/docs/(\w+)/$", (ROOT / ".gitignore").read_text(), re.M))


def test_each_backbone_stands_in_its_familys_table(pages: dict[str, str]) -> None:
    families = {name for name in pages if name.startswith("catalog/")} - {"catalog/index.md"}
    specs = [mmbackbones.get_spec(name) for name in mmbackbones.list_backbones()]
    assert families == {f"catalog/{spec.family}.md" for spec in specs}
    for spec in specs:
        text = pages[f"catalog/{spec.family}.md"]
        assert f"\n| {spec.name} | " in text
        assert f"/{spec.paper})" in text
        assert all(f"`{alias}` for `{spec.name}`" in text for alias in spec.aliases)
        assert all(f"| `{spec.name}` | `{address}`" in text for address in spec.weights)
        assert f"({spec.family}.md)" in pages["catalog/index.md"]
    assert "| `timm://vit_small_patch16_dinov3.lvd1689m` (default) | dinov3-license |" in pages[
        "catalog/dinov3.md"
    ].replace("vit_small_patch16_dinov3` | ", "| ")


def test_the_maps_of_each_family_are_shown_on_one_photograph(
    site: ModuleType, pages: dict[str, str], tmp_path: Path
) -> None:
    from PIL import Image

    for family, members in site.catalog_pages.families().items():
        assert f"/map_pictures/{members[0].name}.png\n" in pages[f"catalog/{family}.md"]
        assert members[0].params == min(member.params for member in members)
    spec = mmbackbones.get_spec("squeezenet1_1")  # has no C5
    assert "C2 of 56 x 56 cells, C3 of 28 x 28 cells, C4 of 14 x 14 cells.\n" in site.catalog_pages.figure(
        spec
    )
    vit, resnet = map(mmbackbones.get_spec, ("vit_tiny_patch16_224", "resnet18"))
    assert [("The grids" in site.catalog_pages.figure(one)) for one in (vit, resnet)] == [True, False]
    site.map_pictures.write([spec], tmp_path)
    path = tmp_path / "squeezenet1_1.png"
    with Image.open(path) as drawn:
        tiles = [drawn.convert("RGB").crop((n * 232, 0, n * 232 + 224, 224)) for n in range(4)]
        assert drawn.size == (4 * 232 - 8, 224)
    assert len(tiles[0].getcolors(224**2)) > 10_000
    for tile, cells in zip(tiles[1:], (56, 28, 14), strict=True):
        assert (
            tile.resize((cells, cells), Image.Resampling.NEAREST).resize(tile.size, Image.Resampling.NEAREST)
            == tile
        )
        assert len(tile.getcolors(224**2)) > cells**2 / 2
    made = path.stat().st_mtime_ns
    site.map_pictures.write([spec], tmp_path)
    assert path.stat().st_mtime_ns == made


def test_each_config_has_a_page_that_its_family_links_to(pages: dict[str, str], site: ModuleType) -> None:
    for name in shipped_names("mmbackbones"):
        page = pages[f"configs/{name}.md"]
        assert (ROOT / f"configs/{name}.py").read_text(encoding="utf-8").rstrip() in page
        assert f"({name}.md) | " in pages["configs/index.md"]
        assert f"\n{name.partition('/')[2]}\n" in pages[f"configs/{name.partition('/')[0]}/index.md"]
    inside = [one for one in site.config_pages.every() if ":" not in one.backbone]
    assert inside
    for one in inside:
        assert (
            f"(../configs/{one.name}.md)" in pages[f"catalog/{mmbackbones.get_spec(one.backbone).family}.md"]
        )
    demo = "detection/faster-rcnn_mobilenetv3-large-scratch_fpn_1xb8-8e_coco-160x160"
    section = (ROOT / "docs/results.md").read_text(encoding="utf-8").partition("## The demo")[2]
    *_, (ap50, ap) = re.findall(r"^\| \d+ \| (0\.\d+) \| (0\.\d+) \|$", section.partition("\n## ")[0], re.M)
    figures = f"box AP50 {100 * float(ap50):.1f}, box AP {100 * float(ap):.1f}"
    assert f"- generated shapes: {figures}\n" in pages[f"configs/{demo}.md"]


def test_every_public_name_is_in_the_reference(pages: dict[str, str]) -> None:
    text = "\n".join(text for name, text in pages.items() if name.startswith("reference/"))
    shown = {path.rpartition(".")[2] for path in re.findall(r"^\.\. auto\w+:: (\S+)$", text, re.M)}
    wanted = {*mmbackbones.__all__, *HEADS, *LOSSES, *PARTS, "Backbone"}
    for held in vars(registry).values():
        if isinstance(held, registry.Registry) and held.scope == registry.SCOPE:
            held.import_from_location()
            types = {one for one in held.module_dict.values() if isinstance(one, type)}
            wanted |= {one.__name__ for one in types if not issubclass(one, Backbone)}
    assert wanted <= shown, wanted - shown


def test_every_command_is_described_with_its_options(pages: dict[str, str]) -> None:
    from mmbackbones.cli import app

    text = pages["reference/commands.md"]
    names = {command.name for command in app.registered_commands}
    assert set(re.findall(r"^## (.*)$", text, re.M)) == names
    assert "\n| `--resume [PATH]` | Go on from the last checkpoint" in text
    assert re.search(r"^## train\n.*\n\| `--backbone` \| Of the recipe", text, re.M | re.S)
    assert "Or give `--recipe`." in text  # Sphinx would make one dash of two
    assert "mmdet::\\<name>" in text


def test_every_page_stands_in_a_table_of_contents(pages: dict[str, str]) -> None:
    """Sphinx warns of others, which ends ``make docs``."""
    docs = ROOT / "docs"
    texts = {docs / name: text for name, text in pages.items()}
    texts |= {path: path.read_text(encoding="utf-8") for path in committed()}
    listed = set()
    for path, text in texts.items():
        for tree in re.findall(r"^```{toctree}\n(.*?)^```", text, re.M | re.S):
            names = [line for line in tree.splitlines() if line and not line.startswith(":")]
            listed |= {os.path.normpath(path.parent / name) for name in names}
    found = {str(path.with_suffix("")) for path in texts} - {str(docs / "index")}
    lost = [name for name in found if not any(fnmatch.fnmatch(name, pattern) for pattern in listed)]
    assert not lost, "name these in a toctree, as that of docs/index.md"


def test_links_lead_to_pages_and_files(site: ModuleType, pages: dict[str, str]) -> None:
    """Those of generated pages, and those of all others as the site changes them."""
    docs = ROOT / "docs"
    texts = {docs / name: text for name, text in pages.items()}
    texts |= {path: site.led(path.read_text(encoding="utf-8"), path.parent, path) for path in committed()}
    assert len(texts) > 150
    for path, text in texts.items():
        for target in LINK.findall(text):
            end = Path(os.path.normpath(path.parent / target))
            generated = end.is_relative_to(docs) and end.relative_to(docs).parts[0] in ignored()
            assert end in texts or (end.is_file() and not generated), f"{path.relative_to(ROOT)}: {target}"


def test_links_to_what_the_site_has_elsewhere_lead_there(site: ModuleType) -> None:
    docs = ROOT / "docs"
    text = "[a](../configs/detection/x.py) [b](../configs/README.md#names) [c](../LICENSE) [d](swap.md) [e](https://a.b)"
    assert site.led(text, docs, docs / "models.md") == (
        "[a](configs/detection/x.md) [b](configs/index.md#names) [c](../LICENSE) [d](swap.md) [e](https://a.b)"
    )
    assert site.led("[a](../x.py)", ROOT / "configs/finetune", docs / "configs/finetune/index.md") == (
        "[a](../../../configs/x.py)"
    )


def test_writing_changes_only_what_is_new_and_removes_what_is_gone(site: ModuleType, tmp_path: Path) -> None:
    site.write({"catalog/a.md": "old", "configs/b/c.md": "kept"}, tmp_path)
    (tmp_path / "mine.md").write_text("a page that is committed")
    before = (tmp_path / "configs/b/c.md").stat().st_mtime_ns
    site.write({"catalog/d.md": "new", "configs/b/c.md": "kept"}, tmp_path)
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.md")}
    assert left == {"catalog/d.md", "configs/b/c.md", "mine.md"}
    assert (tmp_path / "configs/b/c.md").stat().st_mtime_ns == before
    assert set(site.FOLDERS) == ignored()


@swept("a minute to build the site")
def test_the_site_builds_without_a_warning(root: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "docs", str(tmp_path / "html")]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "html/catalog/resnet.html").is_file()
