"""What torch's versions have and have not, and what is said of a network that does not run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mmbackbones import InputError
from mmbackbones.contract.onnx import onnx
from mmbackbones.contract.point import LeaveOutError, Subject
from mmbackbones.sources.exporting import is_exporting, is_recorded_without_dynamo, need_onnx_exporter
from mmbackbones.tracing.trace import trace


class Asking(nn.Module):
    """Adds 1 where ``word`` says that it is exported, else takes 1 away."""

    def __init__(self, word: Callable[[], bool]) -> None:
        super().__init__()
        self.word = word

    def forward(self, x: Tensor) -> Tensor:
        return x + 1 if self.word() else x - 1


@pytest.mark.parametrize("word", [is_exporting, is_recorded_without_dynamo])
def test_an_export_is_seen_with_and_without_the_newer_torchs_word_for_it(word: Callable[[], bool]) -> None:
    """``torch.compiler.is_exporting`` is missing before torch 2.7, where the other word stands in for it."""
    net, x = Asking(word), torch.zeros(2)
    assert net(x).tolist() == torch.compile(net, backend="eager")(x).tolist() == [-1, -1]
    assert torch.export.export(net, (x,), strict=False).module()(x).tolist() == [1, 1]


def test_no_other_file_asks_torch_itself(root: Path) -> None:
    files = [path for path in (root / "plugin").rglob("*.py") if path.name != "exporting.py"]
    assert not [path.name for path in files if "is_exporting" in path.read_text() and path.name != "timm.py"]
    assert "torch.compiler.is_exporting" not in (root / "plugin/sources/timm.py").read_text()


def test_an_onnx_exporter_that_takes_no_shapes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in torch 2.4, whose ``torch.onnx.export`` has no ``dynamic_shapes``."""
    monkeypatch.setattr(torch.onnx, "export", lambda model, args, dynamic_shapes=None: None)
    need_onnx_exporter()
    monkeypatch.setattr(torch.onnx, "export", lambda model, args, dynamo=False: None)
    with pytest.raises(InputError, match=f"torch 2.5 or newer, and this is {torch.__version__[:3]}.*Update"):
        need_onnx_exporter()
    pytest.importorskip("onnxscript", reason="onnxscript comes with the extra export")
    pytest.importorskip("onnxruntime", reason="onnxruntime comes with the extra export")
    with pytest.raises(LeaveOutError, match="torch 2.5 or newer"):
        onnx(Subject("resnet18"))


class Failing(nn.Module):
    """Runs ``forward`` of a network, if its image has a side of ``only``."""

    def __init__(self, only: int | None = None) -> None:
        super().__init__()
        self.conv, self.only = nn.Conv2d(3, 4, 3, 3), only

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] != self.only:
            raise AttributeError(f"module 'torch' has no attribute 'width_{x.shape[-1]}'")
        return self.conv(x)


def feature_net(net: nn.Module) -> Any:
    return SimpleNamespace(net=net, taps=1, classifier=(), run=lambda x, taps: [net(x)])


def test_a_network_that_does_not_run_says_what_failed() -> None:
    with pytest.raises(InputError) as caught:
        trace(feature_net(Failing()), 3, name="mine")
    said = "'mine' does not run: AttributeError: module 'torch' has no attribute 'width_320' (images of 99"
    assert str(caught.value).startswith(said)
    assert "powers of two" not in str(caught.value)
    assert isinstance(caught.value.__cause__, AttributeError)


def test_a_network_that_runs_at_some_sizes_has_no_maps_and_the_rest_is_said() -> None:
    with pytest.raises(InputError, match="'mine' has no maps at strides that are powers of two") as caught:
        trace(feature_net(Failing(only=320)), 3, name="mine")
    assert "at 6 of them it does not run (AttributeError: " in str(caught.value)
