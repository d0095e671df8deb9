"""The house rules of the tests themselves: short files, and nothing private of what they test."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

FILES = sorted(Path(__file__).parent.glob("*.py"))
LONGEST = 300
#: Private names of others that a test needs, and why.
OTHERS = {
    "_mask_forward": "mmdet has no other way to the logits of the masks",
    "_instance_dict": "mmengine keeps what one process made, and a command is a process",
    "_schemes": "mmengine's table of readers, which no public call lists",
    "_get_device_index": "DataParallel's replicas without a second device",
    "_broadcast_coalesced_reshape": "the same",
    "_compiled_call_impl": "torch says nowhere else whether a module is compiled",
    "_maybe_compile": "mmengine's runner asks for it, and ours answers",
    "_train_loop": "mmengine's runner holds its loop's config there until it is built",
}


def is_private(name: str) -> bool:
    return bool(re.fullmatch(r"_[a-zA-Z]\w*(?<!_)", name))  # `_delete_` is a key of configs


def private_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Attributes of anything but self, names patched by their word, and imports out of mmbackbones."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") not in ("self", "cls"):
            yield node.lineno, node.attr
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "").endswith("attr"):
            words = [one.value for one in node.args if isinstance(one, ast.Constant)]
            yield from ((node.lineno, word.rpartition(".")[2]) for word in words if isinstance(word, str))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mmbackbones"):
            parts = [*node.module.split("."), *(name.name for name in node.names)]
            yield from ((node.lineno, part) for part in parts)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_is_short_and_looks_at_nothing_private(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= LONGEST, "split it by concept"
    found = [(line, name) for line, name in private_names(ast.parse(text)) if is_private(name)]
    assert [one for one in found if one[1] not in OTHERS] == []


def test_private_names_are_found_and_the_exceptions_are_used() -> None:
    code = (
        "net._inside\nself._own\nmonkeypatch.setattr(net, '_kept', 1)\nfrom mmbackbones.x import _y\na.__b__"
    )
    assert {name for _, name in private_names(ast.parse(code)) if is_private(name)} == {
        "_inside",
        "_kept",
        "_y",
    }
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in FILES]
    assert {name for tree in trees for _, name in private_names(tree)} >= OTHERS.keys()


def test_make_sweep_takes_every_file_that_leaves_something_to_it(root: Path) -> None:
    lists = re.findall(r"^(?:SWEPT|WHOLE) := (.*)$", (root / "Makefile").read_text(), re.M)
    taken = {name for words in lists for name in words.split()}
    imported = re.compile(r"^from cases import .*\b(?:SWEEP|swept|NAMES|LIGHT|DILATABLE|PLAIN)\b", re.M)
    leaving = {path.stem.removeprefix("test_") for path in FILES if imported.search(path.read_text())}
    assert leaving - taken - {"export_cases"} == set()
    assert {name for name in taken if not (root / f"tests/test_{name}.py").is_file()} == set()
