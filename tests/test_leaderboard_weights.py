"""A board whose nets start from files of their own, as OpenMMLab's checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmdet.models.backbones import ResNet
from mmengine.registry import MODELS, init_default_scope
from test_leaderboard_training import SHAPES, SPEC  # noqa: F401 (SHAPES: for the fixture)

from mmbackbones.errors import InputError
from mmbackbones.leaderboard.resolve import resolve
from mmbackbones.leaderboard.run import Trainings
from mmbackbones.leaderboard.spec import read_spec

TEXT = SPEC.replace("[mobilenetv1_025]", "[resnet18, mobilenetv1_025]")


def write(folder: Path, shapes: Path, weights: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "board.yaml").write_text(TEXT.replace("DATA", str(shapes)) + f"weights: {weights}\n")
    return folder / "board.yaml"


def save(path: Path, seed: int) -> dict[str, torch.Tensor]:
    """A detector's checkpoint, as mmdet leaves it, with a first convolution that can be told."""
    torch.manual_seed(seed)
    state = {f"backbone.{name}": value for name, value in ResNet(18).state_dict().items()}
    state["bbox_head.fc_cls.weight"] = torch.zeros(3, 3)
    torch.save({"meta": {"epoch": 12}, "state_dict": state}, path)
    return state


def test_a_net_starts_from_a_checkpoint_of_openmmlab(shapes: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "a", shapes, "{resnet18: detector.pth}")
    state = save(tmp_path / "a" / "detector.pth", 0)
    spec = read_spec(path)
    found = resolve(spec, tmp_path / "board")
    cfg = found.config("resnet18", "only", 0)
    init_default_scope(cfg.default_scope)
    backbone = MODELS.build(cfg.model.backbone)
    backbone.init_weights()
    assert torch.equal(backbone.state_dict()["conv1.weight"], state["backbone.conv1.weight"])
    run = found.board.run("resnet18", "only", 0)
    assert Trainings(spec, found).describe(run).weights["tag"].endswith("detector.pth")
    other = found.config("mobilenetv1_025", "only", 0)
    assert "init_cfg" not in other.model.backbone  # `pretrained: false` stays true of all others

    elsewhere = write(tmp_path / "b", shapes, "{resnet18: detector.pth}")
    (tmp_path / "b" / "detector.pth").write_bytes((tmp_path / "a" / "detector.pth").read_bytes())
    assert resolve(read_spec(elsewhere), tmp_path / "board").board.keys == found.board.keys
    save(tmp_path / "b" / "detector.pth", 1)  # other values: another run
    changed = resolve(read_spec(elsewhere), tmp_path / "board").board.keys
    same = {one for one, key in changed.items() if found.board.keys[one] == key}
    assert {net for net, *_ in same} == {"mobilenetv1_025"}


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("{resnet19: a.pth}", "weights has no 'resnet19'. Did you mean 'resnet18'"),
        ("{resnet18: nowhere}", "weights: .*nowhere"),
        ("a.pth", "weights must be a mapping"),
    ],
)
def test_bad_weights_are_told_file_and_line(weights: str, said: str, shapes: Path, tmp_path: Path) -> None:
    path = write(tmp_path, shapes, weights)
    line = len(path.read_text().splitlines())
    with pytest.raises(InputError, match=rf"board.yaml:{line}: {said}"):
        read_spec(path)
