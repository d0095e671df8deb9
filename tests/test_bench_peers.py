"""The bench against OpenMMLab's classes: the same nets on both sides, and ratios that can be made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from mmbackbones.bench import peers
from mmbackbones.bench.peers import PEERS, MissingPeerError, figures, peer
from mmbackbones.feature_nets.specs import get_spec


@pytest.mark.parametrize("name", PEERS)
def test_both_sides_are_the_same_network(name: str) -> None:
    try:
        theirs = peer(name)
    except MissingPeerError as error:
        pytest.skip(str(error))
    count = sum(param.numel() for param in theirs.parameters())
    assert count == pytest.approx(get_spec(name).params, rel=0.25)  # MobileNetV2's last 1x1 convolution


def test_figures() -> None:
    assert figures([1.0, 2.0, 3.0]) == {"median": 2.0, "low": 1.0, "high": 3.0}
    assert figures([2.0]) == {"median": 2.0, "low": 2.0, "high": 2.0}


def test_a_peer_that_cannot_be_imported_is_a_row_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where its package is there and lacks one of its own, which mmengine would only warn of."""
    monkeypatch.setitem(PEERS, "vgg16", ("gone", {"type": "VGG"}))
    app = typer.Typer()
    app.command()(peers.main)
    done = CliRunner(env={"COLUMNS": "200"}).invoke(
        app, ["--quick", "--net", "vgg16"], catch_exceptions=False
    )
    assert done.exit_code == 0
    assert "gone cannot be imported: No module named 'gone'" in done.output


def test_a_table_and_its_json(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(peers.main)
    out = tmp_path / "peers.json"
    words = ["--quick", "--net", "mobilenetv2_100", "--batch", "1", "--out", str(out)]
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    content = json.loads(out.read_text())
    rows = {row["device"]: row for row in content["rows"]}
    assert rows["cpu"]["net"] == "mobilenetv2_100"
    for column in peers.COLUMNS:
        assert 0 < rows["cpu"][column]["low"] <= rows["cpu"][column]["median"] <= rows["cpu"][column]["high"]
        assert column in done.output
    assert (content["size"], content["turns"]) == (64, 3)
    wrong = CliRunner().invoke(app, ["--net", "resnet51"])
    assert wrong.exit_code == 2
    assert "resnet51" in wrong.output
