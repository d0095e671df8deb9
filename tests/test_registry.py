"""The registered types: what asks for them, what builds them, and that they are types."""

import inspect
import pickle
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

import mmbackbones
from mmbackbones import InputError
from mmbackbones.backbone import Backbone, backbone_type, resnet18
from mmbackbones.registry import MODELS

mmdet_models = pytest.importorskip("mmdet.registry").MODELS

UNKNOWN = ["resnt18", "mmbackbones.resnt18", "timm:resnt18", "nowhere:resnet18"]


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_name_is_none_to_who_asks(name: str) -> None:
    assert name not in MODELS
    assert MODELS.get(name) is None
    assert name not in mmdet_models


@pytest.mark.parametrize("name", ["resnet18", "timm:resnet10t", "timm:resnet10t.c3_in1k", "FPN"])
def test_a_known_name_is_there(name: str) -> None:
    for key in (name, f"mmbackbones.{name}"):
        assert key in MODELS
    assert f"mmbackbones.{name}" in mmdet_models


@pytest.mark.parametrize("models", [MODELS, mmdet_models], ids=["ours", "mmdet"])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resnt18", "'mmbackbones.resnt18' is not a registered type. Nearest: resnet18"),
        ("timm:resnt18", "timm has no model 'resnt18'. Nearest: .*resnet18"),
    ],
)
def test_who_builds_an_unknown_name_reads_the_nearest_ones(models, name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        models.build({"type": f"mmbackbones.{name}"})


def test_a_registered_type_is_a_backbone_with_a_signature() -> None:
    kind = MODELS.get("resnet18")
    assert kind is resnet18 is backbone_type("resnet18")
    assert issubclass(kind, Backbone)
    assert isinstance(MODELS.build({"type": "mmbackbones.resnet18", "out_indices": (0,)}), kind)
    named = list(inspect.signature(Backbone).parameters)
    assert list(inspect.signature(kind).parameters) == [n for n in named if n not in ("name", "unknown")]
    with pytest.raises(InputError, match="resnet18 has no argument 'name'"):
        kind(name="resnet50")
    with pytest.raises(ImportError, match="resnt18"):
        from mmbackbones.backbone import resnt18  # noqa: F401


@pytest.mark.parametrize("name", ["resnet18", "timm:resnet10t.c3_in1k"])
def test_a_net_comes_out_of_a_pickle_as_it_was(name: str) -> None:
    net = MODELS.build({"type": f"mmbackbones.{name}", "out_indices": (0, 1), "frozen_stages": 1}).eval()
    again = pickle.loads(pickle.dumps(net))
    assert type(again) is type(net)
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        for ours, theirs in zip(again(x), net(x), strict=True):
            assert torch.equal(ours, theirs)
    assert again.train().layer1.training is False
    assert again.layer1 is again.feature_net.net.layer1


def test_a_lazy_config_names_a_backbone_by_import(tmp_path: Path) -> None:
    file = tmp_path / "lazy.py"
    file.write_text(
        "from mmbackbones.backbone import resnet18\nbackbone = dict(type=resnet18, out_indices=(0, 1))\n"
    )
    cfg = Config.fromfile(file)
    assert type(MODELS.build(cfg.backbone)) is resnet18
    cfg.dump(tmp_path / "dumped.py")
    dumped = Config.fromfile(tmp_path / "dumped.py")
    assert type(mmdet_models.build(dumped.backbone)) is resnet18


def test_every_name_and_alias_of_the_catalog_can_be_imported() -> None:
    import mmbackbones.backbone as home

    for name in mmbackbones.list_backbones():
        assert getattr(home, name) is MODELS.get(name)
