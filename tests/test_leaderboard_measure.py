"""What is measured of a net beside its metric: the parts of its latency, ONNX files, energy."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from cases import swept
from torch import nn

from mmbackbones.leaderboard import energy, measure, onnx_latency


class Slow(nn.Module):
    """Sleeps before, in and after its layers; has one that runs twice, and one that never does."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.unused = nn.Identity(), nn.Identity(), nn.Identity()

    def data_preprocessor(self, batch: Any, training: bool) -> Any:
        time.sleep(0.002)
        return batch

    def _run_forward(self, data: Any, mode: str) -> Any:
        for layer in (self.second, self.first, self.second):
            time.sleep(0.001)
            layer(data)
        time.sleep(0.008)
        return data

    def test_step(self, batch: Any) -> Any:
        return self._run_forward(self.data_preprocessor(batch, False), "predict")


def test_the_parts_of_a_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "RUNS", 5)
    found = measure.latencies({"slow": (Slow(), torch.zeros(1))})["slow"]
    assert 2 <= found["pre"] < 8 <= found["post"] < found["p50"]
    assert found["p50"] >= 13


def test_models_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "RUNS", 4)
    ran: list[str] = []

    class Noting(Slow):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def test_step(self, batch: Any) -> Any:
            ran.append(self.name)
            return super().test_step(batch)

    found = measure.latencies({name: (Noting(name), torch.zeros(1)) for name in "ab"})
    assert found.keys() == {"a", "b"}
    turns = ["".join(sorted(ran[i : i + 2])) for i in range(0, 2 * 4, 2)]
    assert turns == ["ab"] * 4


def nvml(counts: list[int]) -> ModuleType:
    """pynvml of one GPU, whose counter goes through ``counts`` (mJ)."""
    module = ModuleType("pynvml")
    module.NVMLError = type("NVMLError", (Exception,), {})
    module.nvmlInit = lambda: None
    module.nvmlDeviceGetHandleByUUID = {"GPU-1-2": "handle"}.__getitem__

    def count(handle: str) -> int:
        assert handle == "handle"
        if not counts:
            raise module.NVMLError("not supported")
        return counts.pop(0)

    module.nvmlDeviceGetTotalEnergyConsumption = count
    return module


def test_energy_is_what_the_counter_grew_by_or_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    assert energy.joules("cpu") is None
    monkeypatch.setattr(energy, "find_spec", lambda name: None)
    assert energy.joules("cuda") is None
    monkeypatch.setattr(energy, "find_spec", lambda name: name)
    monkeypatch.setitem(sys.modules, "pynvml", nvml([1500]))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid="1-2"))
    assert energy.joules("cuda") == 1.5
    assert energy.joules("cuda") is None  # a GPU that does not count


SLOW = swept("torch.export and the calibration take 20 seconds")


@pytest.mark.parametrize("model", [pytest.param("swiftnet", marks=SLOW), "faster-rcnn"])
def test_a_net_as_onnx_files(
    model: str, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a segmenter both files are timed; one whose suppression ONNX lacks says why it has none."""
    pytest.importorskip("onnxscript", reason="the extra [export] is not installed")
    from mmengine.registry import MODELS, init_default_scope

    from mmbackbones.compose.filling import compose
    from mmbackbones.compose.fit import Settings, fit

    monkeypatch.setattr(onnx_latency, "RUNS", 3)
    monkeypatch.setattr(onnx_latency, "CALIBRATION", 2)
    cfg, _ = compose(model, "mobilenetv1_025", pretrained=False)
    if model == "faster-rcnn":
        cfg.model.test_cfg.rcnn.nms.type = "soft_nms"
    fit(cfg, Settings(data=shapes, img_scale="64x64"), cache_dir=tmp_path)
    init_default_scope(cfg.default_scope)
    torch.save({"state_dict": MODELS.build(cfg.model).state_dict(), "meta": {}}, tmp_path / "last.pth")
    found = onnx_latency.onnx_latency(cfg, tmp_path / "last.pth")
    if model == "faster-rcnn":
        assert "soft_nms" in found["reason"]
        return
    assert found.keys() == {"ms", "int8_ms", "mb", "int8_mb"}
    assert found["ms"] > 0
    assert found["int8_mb"] < 0.5 * found["mb"]
