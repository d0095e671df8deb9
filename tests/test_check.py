"""``mmbackbones check``: every point holds for networks that are right, and fails for others."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from own_cases import NETS, registered  # noqa: F401
from torch import Tensor, nn
from torch.nn import functional as F
from typer.testing import CliRunner

import mmbackbones
from mmbackbones import InputError
from mmbackbones.cli import app
from mmbackbones.contract.alignment import beside, offsets
from mmbackbones.contract.check import POINTS, check
from mmbackbones.contract.point import FAILS, LEFT_OUT, Subject
from mmbackbones.contract.points import alignment

pytestmark = pytest.mark.usefixtures("registered")

#: Points that have no meaning for a net.
WITHOUT = {
    "unpaddednet": {"normalisation"},
    "listnet": {"normalisation"},
    "nhwcnet": {"normalisation", "output stride"},
}


def run(*args: str) -> tuple[int, str]:
    result = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, args, catch_exceptions=False)
    return result.exit_code, result.output


@pytest.mark.parametrize("name", [*NETS, "timm:test_efficientnet"])
def test_every_point_holds(name: str) -> None:
    found = {point.name: point for point in check(name)}
    assert found.keys() == POINTS.keys()
    assert {about for about, point in found.items() if point.outcome == LEFT_OUT} == WITHOUT.get(name, set())
    assert [point for point in found.values() if point.outcome == FAILS] == []


def test_chance_does_not_count_as_an_offset() -> None:
    """With the first random weights the map of stride 16 looks 14 pixels beside; its windows do not."""
    subject = Subject("shufflenet_v2_x0_5")
    assert 16 in beside(offsets(subject.built().eval()))
    assert "stride 16: " in alignment(subject)


@pytest.mark.usefixtures("exporter")
def test_the_command_says_what_was_seen_and_takes_a_file() -> None:
    status, text = run("check", "listnet", "--onnx", "--import", str(Path(__file__).with_name("own_nets.py")))
    assert status == 0
    assert "holds     strides and channels: strides (4, 8, 16, 32), channels (8, 16, 24, 32)" in text
    assert "maps at stride 4: output[0], stride 8: output[1]" in text
    assert "left out  normalisation: it has no batch norm" in text
    assert "holds     ONNX: exported" in text
    assert text.rstrip().endswith("listnet: 11 points hold, 0 fail, 1 left out")
    assert "INFO" not in text


class Net(nn.Module):
    """Stem and two stages, with a fault between the image and the maps."""

    def __init__(self, fault: Callable[[Net, Tensor], Tensor]) -> None:
        super().__init__()
        self.stem, self.bn = nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8)
        self.scale = nn.Parameter(torch.ones(1, 8, 1, 1))
        self.register_buffer("count", torch.zeros(1))
        self.stage1, self.stage2 = nn.Conv2d(8, 8, 3, 2, 1), Counting()
        self.fault = fault

    def forward(self, x: Tensor) -> Tensor:
        y = self.stage1(F.relu(self.fault(self, x)))
        return self.stage2(y.add_(1) if self.fault is right else y)

    def run_stem(self, x: Tensor) -> Tensor:
        return self.bn(self.stem(x)) * self.scale


class Counting(nn.Module):
    """A block that counts its calls where that is what is wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.calls = nn.Conv2d(8, 8, 3, 2, 1), nn.Conv2d(8, 8, 1), None

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.conv1(x))
        if self.calls is not None and self.training:
            self.calls += 1
            y = y * self.calls
        return self.conv2(y)


def right(net: Net, x: Tensor) -> Tensor:
    return net.run_stem(x)


def changes_the_image(net: Net, x: Tensor) -> Tensor:
    return net.run_stem(x.mul_(2))


def looks_elsewhere(net: Net, x: Tensor) -> Tensor:
    return net.run_stem(F.pad(x, (40, -40, 0, 0)))


def leaves_out_in_training(net: Net, x: Tensor) -> Tensor:
    y = net.bn(net.stem(x))
    return y if net.training else y * net.scale


def counts_images(net: Net, x: Tensor) -> Tensor:
    net.count += len(x)
    return net.run_stem(x)


def remembers_calls(net: Net, x: Tensor) -> Tensor:
    net.stage2.calls = net.stage2.calls or 0
    return net.run_stem(x)


def knows_its_norm(net: Net, x: Tensor) -> Tensor:
    bn = net.bn
    y = F.batch_norm(net.stem(x), bn.running_mean, bn.running_var, bn.weight, bn.bias, net.training)
    return y * net.scale


def takes_three_channels(net: Net, x: Tensor) -> Tensor:
    return net.run_stem(x[:, :3])


#: A point that fails, and what is said.
FAULTS = {
    changes_the_image: ("map sizes", "the image itself is changed"),
    looks_elsewhere: ("alignment", "look beside by more than half a cell"),
    leaves_out_in_training: ("gradients", "no gradient reaches scale"),
    right: ("gradients", "asked for stride 4 alone, the map of 4 has other values"),
    counts_images: ("freezing", "a step of training changes count"),
    remembers_calls: ("checkpointing", "with_cp=True gives other gradients of"),
    knows_its_norm: ("normalisation", "AttributeError: 'GroupNorm"),
    takes_three_channels: ("image channels", "in_channels=4 does not work"),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_point_fails_and_says_what_to_change(fault: Callable[[Net, Tensor], Tensor]) -> None:
    about, words = FAULTS[fault]
    mmbackbones.register_backbone("faulty", lambda: Net(fault), force=True)
    failing = {point.name: point for point in check("faulty") if point.outcome == FAILS}
    assert words in failing[about].seen
    assert failing[about].change


def test_the_exit_status_says_that_a_point_fails() -> None:
    mmbackbones.register_backbone("faulty", lambda: Net(changes_the_image), force=True)
    status, text = run("check", "faulty")
    assert status == 1
    assert "fails     map sizes: the image itself is changed" in text
    assert "          To change: Do not work in place on what forward gets." in text
    assert "faulty: 6 points hold, 4 fail, 1 left out" in text


def test_a_network_that_cannot_be_built_fails_the_first_point() -> None:
    mmbackbones.register_backbone("faulty", lambda: nn.LazyConv2d(8, 3), force=True)
    (point,) = check("faulty")
    assert "left 'weight' without a shape" in point.seen
    mmbackbones.register_backbone("faulty", lambda: nn.Flatten(2), force=True)
    (point,) = check("faulty")
    assert (point.name, point.outcome) == ("strides and channels", FAILS)
    assert "it has no maps" in point.seen
    with pytest.raises(InputError, match="Unknown backbone 'faultty'. Nearest: faulty"):
        list(check("faultty"))
    with pytest.raises(InputError, match="timm has no model 'resnt18'"):
        list(check("timm:resnt18"))


def test_list_and_info_take_the_file_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(
        "import own_nets\nfrom mmbackbones import register_backbone\n"
        "register_backbone('fromfile', own_nets.DictNet, taps={8: 'res3'}, mean=(0.5,) * 3)\n"
    )
    monkeypatch.setattr("sys.path", [*sys.path])
    file = str(tmp_path / "mine.py")
    assert "fromfile" in run("list", "fromf", "--import", file)[1]
    facts = json.loads(run("info", "fromfile", "--json", "--import", file)[1])
    assert facts["taps"]["8"] == "res3"
    assert facts["mean"] == [0.5, 0.5, 0.5]
    assert "custom_imports = dict(imports=['own_nets'])" in facts["config"]
    text = run("info", "fromfile")[1]
    assert "maps read at" in text
    assert "stride 8: res3" in text
    (tmp_path / "own_nets.py").write_text("")
    wrong = {"no such file": "gone.py", "ModuleNotFoundError": "gone"}
    for words, name in {**wrong, "a module of that name is .*own_nets.py": tmp_path / "own_nets.py"}.items():
        with pytest.raises(InputError, match=words):
            run("list", "--import", str(name))
    with pytest.raises(InputError, match="--row: 'fromfile' was registered by your own code"):
        run("info", "fromfile", "--row")
