"""``mmbackbones check``: networks that break one point, and what the command says is to be changed."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from cases import needs_newer_torch
from own_cases import registered  # noqa: F401
from torch import Tensor, nn
from torch.nn import functional as F
from typer.testing import CliRunner

import mmbackbones
from mmbackbones.cli import app
from mmbackbones.contract import check

pytestmark = pytest.mark.usefixtures("registered")


class Net(nn.Module):
    """A stem and two stages."""

    def __init__(self, stem: str = "stem") -> None:
        super().__init__()
        self.first = stem
        setattr(self, stem, nn.Conv2d(3, 8, 3, 2, 1))
        self.stage1, self.stage2 = nn.Conv2d(8, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stage1(F.relu(getattr(self, self.first)(x))))
        return F.relu(self.stage2(self.between(x)))

    def between(self, x: Tensor) -> Tensor:
        return x


class Idle(Net):
    """Has a vector that no map depends on."""

    def __init__(self) -> None:
        super().__init__()
        self.idle = nn.Parameter(torch.ones(8))


class Asks(Net):
    """Asks for values, but where there are none."""

    def between(self, x: Tensor) -> Tensor:
        return x if x.is_meta or float(x.detach().mean()) > 0 else -x


class Draws(Net):
    """Draws a number of Python's."""

    def between(self, x: Tensor) -> Tensor:
        return x * (1 + random.random())


class Skips(Net):
    """Reduces maps by slices."""

    def between(self, x: Tensor) -> Tensor:
        return x[..., ::4, ::4]


class Prefixed(Net):
    """Puts a word before the names in its state dict, as a wrapper of its author's did."""

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return {f"module.{key}": value for key, value in super().state_dict(*args, **kwargs).items()}


#: By what is wrong: the factory, the one point that is tried, what was seen and what is to be changed.
FAULTS = {
    "a vector without use": (Idle, "layers", "idle have no layer or stage", "Let the maps depend on every"),
    "other names in its files": (
        Prefixed,
        "state dict",
        "have other names than",
        "Let state_dict() call parameters",
    ),
    "asks for values": (Asks, "ONNX", "it cannot be exported: ", "no `if` and no Python number that depends"),
    "draws": (Draws, "ONNX", "maps of stride [4, 8] have other values", "no Python number that depends"),
}


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Tries one point alone."""

    def choose(about: str) -> None:
        chosen = {name: point for name, point in check.POINTS.items() if name == about}
        monkeypatch.setattr(check, "POINTS", chosen)

    return choose


@pytest.fixture
def forget() -> Iterator[None]:
    yield
    from mmbackbones.catalog import own

    own.REGISTERED.pop("faulty", None)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.usefixtures("forget")
def test_a_point_fails(fault: str, only: Callable[[str], None], request: pytest.FixtureRequest) -> None:
    factory, about, seen, change = FAULTS[fault]
    if about == "ONNX":
        pytest.importorskip("onnxscript", reason="comes with the extra export")
        request.getfixturevalue("exporter")
    mmbackbones.register_backbone("faulty", factory, force=True)
    only(about)
    words = ["check", "faulty", *(["--onnx"] if about == "ONNX" else [])]
    done = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, words)
    assert done.exit_code == 1, done.output
    said = done.output[done.output.index("fails     ") :]
    assert said.startswith(f"fails     {about}: ")
    assert seen in said
    assert f"          To change: {change}" in said or change in said.partition("To change: ")[2]
    assert "faulty: 0 points hold, 1 fail, 0 left out" in said


@pytest.mark.usefixtures("forget")
def test_a_network_that_is_another_each_time() -> None:
    numbers = itertools.count()
    mmbackbones.register_backbone("faulty", lambda: Net(f"stem{next(numbers)}"), force=True)
    done = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, ["check", "faulty"])
    assert done.exit_code == 1
    assert (
        "fails     strides and channels: 'faulty': its factory built a network with stem0.weight"
        in done.output
    )
    assert "and with stem1.weight (8, 3, 3, 3) now. Let it build the same each time" in done.output


def _exported(net: nn.Module, x: Tensor) -> Any:
    return torch.export.export(net, (x,), strict=False).module()(x)


def _compiled(net: nn.Module, x: Tensor) -> Any:
    torch.compiler.reset()
    return torch.compile(net, backend="eager", fullgraph=True)(x)


@torch.no_grad()
@pytest.mark.parametrize("traced", [_exported, pytest.param(_compiled, marks=needs_newer_torch)])
@pytest.mark.usefixtures("forget")
def test_a_fresh_network_is_traced_before_it_ever_ran(traced: Callable[[nn.Module, Tensor], Any]) -> None:
    """Where maps are what modules get, hooks read them: they hang before the first pass."""
    mmbackbones.register_backbone("faulty", Net)
    net, x = mmbackbones.build("faulty").eval(), torch.rand(1, 3, 64, 96)
    for ours, expected in zip(traced(copy.deepcopy(net), x), net(x), strict=True):
        torch.testing.assert_close(ours, expected)


@pytest.mark.usefixtures("forget")
def test_a_row_that_promises_dilation(only: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """An own network is measured, so only a row of the catalog can promise what is not so."""

    mmbackbones.register_backbone("faulty", Skips, force=True)
    row = mmbackbones.get_spec("faulty")
    assert not row.dilatable
    promised = dataclasses.replace(row, dilatable=True)
    for where in ("mmbackbones.backbone", "mmbackbones.contract.point"):
        monkeypatch.setattr(f"{where}.get_spec", lambda name: promised)
    only("output stride")
    (point,) = check.check("faulty")
    assert point.outcome == "fails"
    assert "with output_stride=8 the maps have" in point.seen
    assert point.change == "Reduce maps by strided convolutions and pools only."
