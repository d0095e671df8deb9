"""``compile=True`` in a config: backbone and neck are compiled, once for all sizes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from cases import needs_newer_torch
from mmengine.registry import MODELS
from torch import nn
from torch._dynamo.testing import CompileCounter

import mmbackbones
from mmbackbones.engine import compiling
from mmbackbones.engine.compiling import compile_parts
from mmbackbones.engine.runner import Runner
from mmbackbones.errors import InputError


class Detector(nn.Module):
    """A model's shape."""

    def __init__(self, name: str = "resnet18") -> None:
        super().__init__()
        pieces = mmbackbones.pair(name, out_channels=8)
        self.backbone, self.neck = (MODELS.build(dict(pieces[part])) for part in ("backbone", "neck"))
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [self.head(fmap) for fmap in self.neck(self.backbone(x))]


@needs_newer_torch
@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1"])
def test_one_program_for_all_sizes(name: str) -> None:
    model, counter = Detector(name).eval(), CompileCounter()
    names = [*model.state_dict()]
    # five, since torch takes two sizes that are equal at first for one
    images = [torch.randn(5, 3, *size) for size in ((64, 96), (128, 64), (90, 110))]
    with torch.no_grad():
        plain = [model(image) for image in images]
        assert compile_parts(model, dict(backend=counter)) == ""
        compiled = [model(images[0])]
        parts = counter.frame_count
        assert parts >= 2  # backbone and neck
        compiled += [model(image) for image in images[1:]]
    assert counter.frame_count == parts
    torch.testing.assert_close(compiled, plain)
    assert [*model.state_dict()] == names


def test_an_older_torch_runs_it_uncompiled_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", "2.4.1")
    model = Detector()
    said = compile_parts(model, dict(backend="eager"))
    assert "torch 2.4.1 compiles no program for images of any size, so the model runs uncompiled" in said
    assert model.backbone._compiled_call_impl is None
    with pytest.raises(InputError, match="compile='yes'"):
        compile_parts(model, "yes")


@needs_newer_torch
def test_without_a_compiler_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Detector()
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert compiling.compiler() is None
    assert "there is no C++ compiler" in compile_parts(model, True)
    assert "so the model runs uncompiled" in compile_parts(model, dict(mode="default"))
    assert model.backbone._compiled_call_impl is None
    for nothing in (None, False):
        assert compile_parts(model, nothing) == ""
    with pytest.raises(InputError, match="compile='yes': allowed are True, False, or a dict"):
        compile_parts(model, "yes")
    assert compile_parts(model, dict(backend="eager")) == ""  # which needs none
    assert model.backbone._compiled_call_impl is not None
    assert model.head._compiled_call_impl is None


@needs_newer_torch
def test_a_part_that_cannot_be_compiled_runs_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """As inductor fails on single nets; the other parts keep their programs, and training goes on."""
    said: list[str] = []
    monkeypatch.setattr(compiling, "warn_user", said.append)
    model, image = Detector(), torch.randn(3, 3, 64, 96)
    plain = model.backbone(image)
    counter = CompileCounter()
    calls: list[int] = []

    def fails(program: Any, inputs: Any) -> Any:
        calls.append(1)
        if len(calls) > 1:
            return counter(program, inputs)
        raise TypeError("cannot determine truth value\nof Relational")

    assert compile_parts(model, dict(backend=fails)) == ""
    for _ in range(2):
        sum(fmap.mean() for fmap in model(image)).backward()
    (words,) = said
    assert "cannot compile the backbone, so it runs uncompiled" in words
    assert "cannot determine truth value" in words
    assert "of Relational" not in words
    assert model.backbone._compiled_call_impl is None
    assert model.neck._compiled_call_impl is not None
    assert counter.frame_count >= 1
    assert all(p.grad is not None for p in model.parameters())
    torch.testing.assert_close(model.backbone(image), plain)
    with pytest.raises(InputError, match="FPN was built for maps"):  # its own errors stay as they are
        model.neck([fmap[:, :4] for fmap in plain])


def test_a_runner_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(
        "mmbackbones.engine.runner.compile_parts", lambda *given: asked.append(given) or "why"
    )
    said: list[str] = []
    monkeypatch.setattr("mmbackbones.engine.runner.warn_user", said.append)
    runner = Runner.__new__(Runner)
    runner.model, runner.cfg = nn.Identity(), {"compile": True}
    runner._maybe_compile("train_step")
    assert asked == [(runner.model, True)]
    assert said == ["why"]
