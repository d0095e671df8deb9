"""The script behind docs/compiler-free.md: what it finds, tries and writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cases import swept

pytest.importorskip("mmdet", reason="the extra mmbackbones[mm] is not installed")
pytest.importorskip("mmseg", reason="the extra mmbackbones[mm] is not installed")
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def families() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "docs/compiler_free")
        import families

        yield families


def test_every_folder_of_configs_is_a_family(families: ModuleType) -> None:
    for package in families.PACKAGES:
        folders = {f.name for f in families.configs_of(package).iterdir() if f.is_dir()}
        assert set(families.families(package)) == folders - {"_base_"}


def test_smaller_configs_come_first(families: ModuleType) -> None:
    names = [file.stem for file in families.candidates("mmdet", "retinanet")]
    assert names[0] == "retinanet_r18_fpn_1x_coco"
    assert names.index("retinanet_r50_fpn_1x_coco") < names.index("retinanet_r101_fpn_1x_coco")


@swept("a cold process and a net of full size")
def test_one_family_is_measured_and_written(families: ModuleType, tmp_path: Path) -> None:
    page, kept = tmp_path / "page.md", tmp_path / "build" / "kept.json"
    families.main(page=page, kept=kept, seconds=200, only="mmseg/fastscnn$")
    row = json.loads(kept.read_text())["mmseg/fastscnn"]
    assert row["builds"]
    assert row["forward"]
    assert "| mmseg/fastscnn | fast_scnn_8xb4-160k_cityscapes-512x1024 | 1.5 | 224x256 | yes | yes |" in (
        page.read_text()
    )


def test_the_next_config_is_tried_and_the_first_failure_noted(
    families: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[dict[str, Any]] = [
        {"config": "a.py", "reason": "needs the package lap"},
        {"config": "b.py", "builds": True, "forward": True},
    ]
    monkeypatch.setattr(families, "measure_one", lambda _package, _family, turn, _seconds: answers[turn])
    row = families.measure("mmdet", "sort", 1)
    assert row["config"] == "b.py"
    assert row["reason"] == "a: needs the package lap"
    answers[1] = {"config": "b.py", "reason": "other"}
    answers.append({"config": "", "reason": "no config with a model"})
    assert families.measure("mmdet", "sort", 1) == answers[0]


def test_a_failure_is_reported_not_raised(families: ModuleType) -> None:
    row = families.measure_one("mmdet", "common", 0, 200)
    assert "forward" not in row
    assert row["reason"] == "LookupError: no config with a model"


def test_the_page_in_docs_covers_every_family(families: ModuleType) -> None:
    text = (ROOT / "docs" / "compiler-free.md").read_text()
    for package in families.PACKAGES:
        missing = [name for name in families.families(package) if f"| {package}/{name} |" not in text]
        assert missing == []
