"""``mmbackbones bench`` and the page of its last figures."""

from __future__ import annotations

import importlib
import runpy
from pathlib import Path

import pytest

from mmbackbones.cli import main
from mmbackbones.cli.bench import Table

DOCS = Path(__file__).parents[1] / "docs"


def test_the_page_is_what_its_figures_say() -> None:
    made = runpy.run_path(str(DOCS / "benchmarks.py"))
    assert made["page"]() == (DOCS / "benchmarks.md").read_text(encoding="utf-8")
    tables = {path.stem.rpartition("-")[2] for path in (DOCS / "benchmarks").glob("*.json")}
    assert tables <= set(made["TITLES"]) <= {one.value for one in Table}


def test_the_command_runs_the_tables_that_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[str, dict]] = []
    for one in Table:
        module = importlib.import_module(f"mmbackbones.bench.{one.value}")
        monkeypatch.setattr(module, "main", lambda name=one.value, **given: ran.append((name, given)))
    with pytest.raises(SystemExit) as end:
        main(["bench", "segmentation", "peers", "--quick", "--device", "cpu", "--out", str(tmp_path / "new")])
    assert end.value.code == 0
    assert ran == [
        (name, {"quick": True, "device": "cpu", "out": tmp_path / "new" / f"{name}.json"})
        for name in ("segmentation", "peers")
    ]
    ran.clear()
    with pytest.raises(SystemExit):
        main(["bench"])
    assert [name for name, _ in ran] == [one.value for one in Table]
    assert dict(ran) == {
        **dict.fromkeys((one.value for one in Table), {"quick": False, "device": None, "out": None}),
        **dict.fromkeys(("depthwise", "data", "start"), {"quick": False, "out": None}),
        "overhead": {"quick": False},
    }


def test_a_table_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["bench", "speed"])
    assert end.value.code == 2
    assert "speed" in capsys.readouterr().err
