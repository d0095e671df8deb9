"""The rooms of the package: each imports only those before it, and no file is in a circle."""

from __future__ import annotations

import ast
import importlib
import re
import runpy
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from warm import Command

SCRIPT = runpy.run_path(str(Path(__file__).parents[1] / "docs" / "rooms.py"))
#: The corridor that a name goes down, and what runs it; a room imports those that stand before it.
ORDER = SCRIPT["ORDER"]
FOLDERS = {"plugin": (), "necks": ("necks",)}
#: Beside the package: torch's entry point, which asks it by name.
BESIDE = ("autoload",)


def modules(root: Path) -> dict[tuple[str, ...], Path]:
    """Files by the dotted parts of their names, below ``mmbackbones``."""
    found = {}
    for folder, start in FOLDERS.items():
        for path in sorted((root / folder).rglob("*.py")):
            parts = (*start, *path.relative_to(root / folder).with_suffix("").parts)
            if parts[0] not in BESIDE:
                found[parts] = path
    return found


def imports(name: tuple[str, ...], path: Path, known: set[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """The files of ours that a file imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            module = tuple(node.module.split(".")) if node.module else ()
            if node.level:
                start = (*name[: len(name) - node.level], *module)
            elif module[:1] == ("mmbackbones",):
                start = module[1:]
            else:
                continue
            for alias in node.names:
                tried = [(*start, alias.name), (*start, alias.name, "__init__"), start, (*start, "__init__")]
                found |= set([parts for parts in tried if parts in known][:1])
    return found - {name, ("__init__",)}


@pytest.fixture(scope="module")
def arrows(root: Path) -> dict[tuple[str, ...], set[tuple[str, ...]]]:
    found = modules(root)
    return {name: imports(name, path, set(found)) for name, path in found.items() if name != ("__init__",)}


def test_every_room_has_its_place(arrows) -> None:
    assert {name[0] for name in arrows} == set(ORDER)
    assert sum(len(targets) for targets in arrows.values()) > 300  # imports are seen at all


def test_no_arrow_goes_up(arrows) -> None:
    place = {room: index for index, room in enumerate(ORDER)}
    up = [
        f"{'.'.join(name)} imports {'.'.join(target)}"
        for name, targets in arrows.items()
        for target in targets
        if place[target[0]] > place[name[0]]
    ]
    assert up == []


def test_no_files_are_in_a_circle(arrows) -> None:
    TopologicalSorter(arrows).prepare()  # raises CycleError, which names the circle


def test_the_root_holds_the_product_only(root: Path) -> None:
    assert {path.stem for path in (root / "plugin").glob("*.py")} == {
        *("__init__", "errors", "registry", "backbone"),
    }


def test_the_page_says_what_the_rooms_say() -> None:
    assert SCRIPT["page"]() == SCRIPT["PAGE"].read_text(encoding="utf-8"), "run `python docs/rooms.py`"
    assert "|  |" not in SCRIPT["page"]()  # every room says what it is for


def test_a_name_goes_straight_down_the_corridor(root: Path, tmp_path: Path) -> None:
    """A residual network, a plain transformer, and one that is built for one image size."""
    names = ["resnet50", "vit_tiny_patch16_224", "beit_base_patch16_224"]
    said = Command([root / "docs" / "corridor.py", *names], tmp_path / "said.txt").end(0)
    found = re.findall(r"^(\w+): (\d+) stays in (\d+) files, (\d+) climbs$", said, re.M)
    assert [name for name, *_ in found] == names
    for name, stays, files, climbs in found:
        assert int(stays) > int(files) > 10, name  # calls are followed at all
        assert int(climbs) <= 5, said


def names_of_places(path: Path) -> list[str]:
    """What docstrings and comments of a file name: modules and what is in them, files, modules beside it."""
    source = path.read_text(encoding="utf-8")
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
    texts = [ast.get_docstring(node, clean=False) or "" for node in nodes]
    texts += [line for line in source.splitlines() if line.lstrip().startswith("#")]
    patterns = (
        r"\bmmbackbones\.[a-z_]\w*(?:\.\w+)+",
        r"(?<![\w/.<])(?:plugin|necks|tests|docs|configs)/[\w/-]+\.(?:py|md)\b",
    )
    beside = [
        str(path.parent / f"{name}.py") for text in texts for name in re.findall(r":mod:`\.(\w+)", text)
    ]
    return beside + [name for text in texts for pattern in patterns for name in re.findall(pattern, text)]


def is_there(name: str, root: Path) -> bool:
    if "/" in name:  # or a page that a script is there for
        scripts = (root / "docs").glob("*.py") if name.endswith(".md") else ()
        written = any(name.rpartition("/")[2] in script.read_text(encoding="utf-8") for script in scripts)
        return written or (root / name).exists()
    parts = name.split(".")
    for length in range(len(parts), 1, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        return all((found := getattr(found, part, None)) is not None for part in parts[length:])
    return False


def test_docstrings_name_places_that_are_there(root: Path) -> None:
    folders = ("plugin", "necks", "tests", "docs")
    paths = [path for folder in folders for path in (root / folder).rglob("*.py")]
    named = {(path, name) for path in paths for name in names_of_places(path)}
    assert len(named) > 40
    lost = [f"{path.relative_to(root)}: {name}" for path, name in named if not is_there(name, root)]
    assert lost == []
