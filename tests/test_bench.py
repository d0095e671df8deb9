"""``make bench``: both sides of each comparison do the same; the tables can be made."""

from __future__ import annotations

import math
import time

import pytest
import torch
from cases import swept
from typer.testing import CliRunner

from mmbackbones.bench import overhead as bench
from mmbackbones.bench import segmentation as bench_segmentation
from mmbackbones.engine.timing import each_call, in_turn, side_by_side


@pytest.mark.parametrize("name", bench.NETS)
def test_both_sides_are_the_same_network(name: str) -> None:
    image = torch.rand(1, 3, 64, 64)
    bare, ours = bench.bare_net(name).eval(), bench.our_net(name).eval()
    assert sum(p.numel() for p in bare.parameters()) >= sum(p.numel() for p in ours.parameters())
    with torch.no_grad():
        maps = bare(image)
        maps = list(maps.values()) if isinstance(maps, dict) else list(maps)
        sizes = [sorted(m.shape) for m in maps]  # sorted: Swin's own maps are channels-last
        assert [sorted(m.shape) for m in ours(image)] == sizes
        assert len(sizes) == 4


def test_side_by_side_tells_which_is_slower() -> None:
    fast, slow, ratio = side_by_side(lambda: None, lambda: time.sleep(0.02), 3)
    assert fast < 0.01 < slow
    assert ratio > 2


def test_import_rows() -> None:
    assert [row[2] for row in bench.import_rows(1)] == ["none"] * 3


@swept("a fresh process for each side's memory")
def test_wrapper_rows() -> None:
    rows = bench.wrapper_rows(["mobilenetv3_small_100"], 64, 1, 1)
    assert [row[1] for row in rows] == ["forward, ms", "training step, ms", "peak of training, MiB"]
    assert all(float(row[2]) > 0 and float(row[3]) > 0 for row in rows)


# --- segmentation

OURS = bench_segmentation.OURS[2]


def test_a_turn_runs_every_call_and_the_order_changes() -> None:
    called = []
    calls = {name: (lambda name=name: called.append(name)) for name in "abc"}
    seconds = in_turn(calls, 2)
    assert "".join(called) == "cba" + "abc" + "cba"
    assert {name: len(found) for name, found in seconds.items()} == {"a": 2, "b": 2, "c": 2}


def test_a_gpu_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    did: list[str] = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: did.append("waits"))
    in_turn({"one": lambda: did.append("runs")}, 1, warm_up=0)
    assert did == ["waits", "runs", "waits"]
    each_call(lambda: did.append("runs"), 1, warm_up=0)
    assert did == ["waits", "runs", "waits"] * 2


def test_processor_time_leaves_out_what_others_do() -> None:
    (waited,) = in_turn({"sleep": lambda: time.sleep(0.05)}, 1, time.process_time)["sleep"]
    assert waited < 0.02


@swept("an export")
@pytest.mark.usefixtures("exporter")
def test_frames_per_second_of_each_net_on_each_backend() -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime comes with the extra dev")
    ((name, *figures),) = bench_segmentation.rows([OURS], (64, 96), 1, busy=True, int8=True)
    assert name == "bisenet_resnet18"
    assert len(figures) == 2 + len(bench_segmentation.backends(["cpu"], int8=True)) == 5
    assert all(math.isfinite(float(value)) and float(value) > 0 for value in figures)


@pytest.mark.parametrize("name", [OURS, bench_segmentation.THEIRS[1]])
def test_what_is_timed_is_the_prediction(name: str) -> None:
    """That of ours too, whose norms are folded."""
    net = bench_segmentation.label_map(name)
    image = torch.randn(1, 3, 50, 70)
    (expected,) = net.segmentor.predict(image)
    for amp in (False, True):  # half precision may turn single pixels
        labels = bench_segmentation.torch_call(net, image, amp=amp)()
        assert (labels == expected.pred_sem_seg.data).float().mean() > (0.9 if amp else 0.999)


def test_costs_leave_out_auxiliary_heads() -> None:
    """BiSeNet's two are 1.2 of its 13.4 million parameters; multiply-adds follow the image's area."""
    net = bench_segmentation.label_map(OURS)
    params, once = bench_segmentation.costs(net, (64, 64))
    auxiliary = sum(value.numel() for value in net.segmentor.auxiliary_head.parameters())
    assert float(params) == pytest.approx((13_425_721 - auxiliary) / 1e6, abs=0.01)
    assert float(bench_segmentation.costs(net, (128, 192))[1]) == pytest.approx(6 * float(once), rel=0.02)
    assert all(value.grad is None for value in net.parameters())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--size", "big"], "--size 'big'"),
        (["--net", "swiftnt"], "no config file"),
        (["--net", "ssdlite_mobilenetv2_8xb24-600e_coco"], "for detection"),
    ],
)
def test_bad_words(words: list[str], said: str) -> None:
    app = bench.typer.Typer()
    app.command()(bench_segmentation.main)
    result = CliRunner(env={"COLUMNS": "300", "TERM": "dumb"}).invoke(app, words)
    assert result.exit_code == 2
    assert said in result.output
