"""Facts kept on disk, and commands that need no torch for what is known."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from warm import Command

from mmbackbones import build, get_spec, kept
from mmbackbones.backbone import Backbone
from mmbackbones.compose import expects
from mmbackbones.feature_nets import specs, steps
from mmbackbones.registry import MODELS

WITHOUT_TORCH = """
import json, sys
from mmbackbones.cli import main
for words in json.loads(sys.argv[1]):
    try:
        main(words)
    except SystemExit as end:
        assert not end.code, end.code
    assert "torch" not in sys.modules, words
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a process that has seen nothing yet."""
    monkeypatch.setenv("MMBACKBONES_CACHE", str(tmp_path / "kept"))
    monkeypatch.setattr(steps, "RECORDS", {})
    monkeypatch.setattr(expects, "READ", {})
    return tmp_path / "kept"


def files(cache: Path) -> list[Path]:
    return sorted(path for path in cache.rglob("*") if path.is_file())


def test_a_fact_is_found_once(cache: Path) -> None:
    calls: list[Any] = []
    value = {"name": ("a", 1), 4: [None, 0.1, True]}

    def find() -> dict[Any, Any]:
        calls.append(1)
        return value

    for _ in range(2):
        assert kept.fact("some", ("of", 1), find) == value
    assert len(calls) == 1
    assert kept.fact("some", ("of", 2), lambda: "other") == "other"
    assert kept.fact("any", ("of", 1), lambda: "third") == "third"
    assert len(files(cache)) == 3
    with pytest.raises(ZeroDivisionError):
        kept.fact("some", "wrong", lambda: 1 / 0)
    for of, found in ((object, 1), ("an object", object)):  # no data
        assert kept.fact("some", of, lambda found=found: found) is found
    assert len(files(cache)) == 3


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe", b"cut", b"0" * 64 + b"\n('other',)"])
def test_a_damaged_file_is_found_anew(cache: Path, damage: bytes) -> None:
    kept.fact("some", 1, lambda: ("right",))
    (file,) = files(cache)
    whole = file.read_bytes()
    file.write_bytes(damage)
    assert kept.fact("some", 1, lambda: ("right",)) == ("right",)
    assert files(cache) == [file]
    assert file.read_bytes() == whole


def test_no_folder_no_harm(cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cache.write_text("a file where the folder would be")
    assert [kept.fact("some", 1, lambda: 7), kept.fact("some", 1, lambda: 8)] == [7, 8]
    monkeypatch.setenv("MMBACKBONES_CACHE", "")
    assert [kept.fact("some", 1, lambda: 7), kept.fact("some", 1, lambda: 8)] == [7, 8]
    monkeypatch.delenv("MMBACKBONES_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert [kept.fact("some", 1, lambda: 7), kept.fact("some", 1, lambda: 8)] == [7, 7]
    assert len(files(tmp_path / "caches" / "mmbackbones")) == 1


def test_other_versions_find_anew(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kept.fact("some", 1, lambda: 7) == 7
    monkeypatch.setattr(kept, "version", lambda name: "1.0 of another")
    kept.versions.cache_clear()
    try:
        assert kept.fact("some", 1, lambda: 8) == 8
    finally:
        kept.versions.cache_clear()


def test_folders_of_other_versions_do_not_pile_up(cache: Path) -> None:
    """The last used ones stay, and all that is not ours."""
    for number in range(kept.OTHERS + 3):
        folder = cache / f"{number:016x}"
        folder.mkdir(parents=True)
        (folder / "fact.txt").write_text("a fact")
        os.utime(folder, (number, number))
    (cache / f"{1:016x}" / "notes.md").write_text("a user's")
    os.utime(cache / f"{1:016x}", (1, 1))
    (cache / "others").mkdir()
    kept.fact("some", 1, lambda: 7)
    left = {path.name for path in cache.iterdir()}
    gone = {f"{0:016x}", f"{2:016x}"}
    assert left == {f"{number:016x}" for number in range(kept.OTHERS + 3)} - gone | {
        kept.versions(),
        "others",
    }
    assert [path.name for path in (cache / f"{1:016x}").iterdir()] == ["notes.md"]
    before = (cache / kept.versions()).stat().st_mtime
    os.utime(cache / kept.versions(), (1, 1))
    kept.note_use.cache_clear()  # as in another process
    assert kept.fact("some", 1, lambda: 8) == 7
    assert (cache / kept.versions()).stat().st_mtime >= before - 1


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("resnet18", dict(out_strides=(4, 32), frozen_stages=1)),
        ("squeezenet1_1", dict(out_indices=(1, 2))),  # its padding is repaired
        ("timm:resnet10t", dict(net_kwargs=dict(stem_width=16))),
    ],
)
def test_a_kept_trace_builds_the_same_net(
    name: str, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def both() -> Backbone:
        torch.manual_seed(0)
        return build(name, **arguments).eval()

    first = both()
    steps.RECORDS.clear()
    monkeypatch.setattr("mmbackbones.tracing.trace.ShapesOnly", lambda *_: pytest.fail("traced again"))
    again = both()
    assert again.param_layers == first.param_layers
    assert again.param_stages == first.param_stages
    frozen = [
        [key for key, param in net.named_parameters() if not param.requires_grad] for net in (first, again)
    ]
    assert frozen[0] == frozen[1]
    x = torch.randn(1, 3, 70, 64)
    for one, other in zip(first(x), again(x), strict=True):
        assert torch.equal(one, other)


@pytest.mark.usefixtures("cache")
def test_a_kept_spec_is_the_traced_one(monkeypatch: pytest.MonkeyPatch) -> None:
    specs.spec_of.cache_clear()
    traced = get_spec("timm:resnet10t")
    specs.spec_of.cache_clear()
    monkeypatch.setattr(specs, "measured", None)
    assert get_spec("timm:resnet10t") == traced
    names = iter(("new", "never asked"))
    monkeypatch.setattr(specs, "present_name", lambda name: next(names))
    for _ in range(2):  # the warning comes each time
        with pytest.warns(UserWarning, match="timm calls 'old' 'new' now"):
            assert specs.current_name("old") == "new"


@pytest.mark.usefixtures("cache")
def test_a_users_own_module_is_read_anew() -> None:
    """Its code may change between two runs, and its name may be a library's."""
    widths = iter((8, 16))

    def register() -> None:
        @MODELS.register_module(name="KeptHead", force=True)
        class KeptHead(nn.Module):
            def __init__(self, in_index: int = next(widths)) -> None:
                super().__init__()

    try:
        for width in (8, 16):
            register()
            assert expects.default_of({"type": "KeptHead"}, "mmbackbones", "in_index") == width
    finally:
        MODELS.module_dict.pop("KeptHead", None)


def test_known_facts_need_no_torch(tmp_path: Path) -> None:
    """``config`` needs it once, to see what the parts of its base make."""
    first, second = tmp_path / "first.py", tmp_path / "second.py"
    config = [*["config", "--model", "faster-rcnn", "--backbone", "resnet18", "--force", "-o"], str(second)]
    kept_in = {"MMBACKBONES_CACHE": str(tmp_path / "kept")}
    Command([*config[:-1], first], tmp_path / "said.txt", **kept_in).end(0)
    commands = [["list"], ["info", "resnet18"], ["recommend", "--task", "detection"], config]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, json.dumps(commands)],
        env={**os.environ, **kept_in},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Faster R-CNN" in done.stdout
    assert first.read_text().replace("first.py", "second.py") == second.read_text()
