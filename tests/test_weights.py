"""Contract point 8: weights load by upstream names, loudly."""

from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

import mmbackbones
from mmbackbones import InputError
from mmbackbones.weights.loading import load_into


def _timm_state(name: str, **kwargs: object) -> dict[str, torch.Tensor]:
    import timm

    return timm.create_model(name, pretrained=False, **kwargs).state_dict()


def _torchvision_state(name: str) -> dict[str, torch.Tensor]:
    return torchvision.models.get_model(name, weights=None).state_dict()


def _detector_state(name: str) -> dict[str, torch.Tensor]:
    inside = {f"backbone.{key}": value for key, value in _torchvision_state(name).items() if "fc." not in key}
    return {
        **inside,
        "neck.lateral_convs.0.conv.weight": torch.zeros(1),
        "backbone_extra.weight": torch.zeros(1),
    }


def _save(path: Path, state: dict[str, torch.Tensor], wrapped: str = "") -> str:
    torch.save({wrapped: state, "meta": {"epoch": 1}} if wrapped else state, path)
    return str(path)


@pytest.mark.parametrize(
    ("name", "state", "wrapped"),
    [
        ("resnet18", lambda: _timm_state("resnet18"), ""),
        ("resnet18", lambda: _torchvision_state("resnet18"), ""),
        ("resnet18", lambda: _torchvision_state("resnet18"), "model"),
        ("resnet18", lambda: _detector_state("resnet18"), "state_dict"),
        ("vgg16_bn", lambda: _timm_state("vgg16_bn", mlp_ratio=0.01), ""),
        ("densenet121", lambda: _torchvision_state("densenet121"), ""),
        ("shufflenet_v2_x1_0", lambda: _torchvision_state("shufflenet_v2_x1_0"), ""),
        ("mobilenetv3_small_100", lambda: _timm_state("mobilenetv3_small_100"), ""),
        ("swin_tiny", lambda: _timm_state("swin_tiny_patch4_window7_224"), ""),
        ("convnext_tiny", lambda: _timm_state("convnext_tiny"), ""),
    ],
)
def test_upstream_files_load_with_nothing_missing(tmp_path, name: str, state, wrapped: str) -> None:
    given = state()
    path = _save(tmp_path / "weights.pth", given, wrapped)
    for net in (mmbackbones.build(name, pretrained=path), _by_init_cfg(name, path)):
        report = net.load_report
        assert report.missing == ()
        assert report.unexpected == ()
        assert set(report.matched) == set(net.state_dict())
        for key, value in net.state_dict().items():
            torch.testing.assert_close(value, given.get(key, given.get(f"backbone.{key}")))


def _by_init_cfg(name: str, path: str) -> nn.Module:
    net = mmbackbones.build(name, init_cfg={"type": "Pretrained", "checkpoint": path})
    assert net.load_report is None
    net.init_weights()
    return net


def test_safetensors_files_load(tmp_path) -> None:
    from safetensors.torch import save_file

    path = str(tmp_path / "weights.safetensors")
    save_file(_timm_state("resnet18"), path)
    assert mmbackbones.build("resnet18", pretrained=path).load_report.missing == ()


def test_old_torchvision_densenet_names_load(tmp_path) -> None:
    """Files on torchvision's server still say norm.1, conv.2 where the module is norm1, conv2."""
    import re

    state = _torchvision_state("densenet121")
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", key): v for key, v in state.items()}
    assert old.keys() != state.keys()
    report = mmbackbones.build("densenet121", pretrained=_save(tmp_path / "old.pth", old)).load_report
    assert (report.missing, report.unexpected) == ((), ())


def test_a_prefix_may_be_named(tmp_path) -> None:
    state = {f"encoder.{key}": value for key, value in _timm_state("resnet18").items()}
    path = _save(tmp_path / "weights.pth", state)
    init_cfg = {"type": "Pretrained", "checkpoint": path, "prefix": "encoder"}
    net = mmbackbones.build("resnet18", init_cfg=init_cfg)
    net.init_weights()
    assert net.load_report.missing == ()


@pytest.mark.parametrize("norm", ["BN", "SyncBN", "FrozenBN"])
def test_weights_fit_every_batch_norm(tmp_path, norm: str) -> None:
    state = _timm_state("resnet18")
    path = _save(tmp_path / "weights.pth", state)
    net = mmbackbones.build("resnet18", pretrained=path, norm_cfg={"type": norm}, out_strides=(8,))
    assert (net.load_report.missing, net.load_report.unexpected) == ((), ())
    torch.testing.assert_close(net.bn1.running_var, state["bn1.running_var"])


def test_the_detector_that_mmdet_builds_is_initialised(tmp_path) -> None:
    """mmengine calls init_weights of children; a second call must not load again."""
    from mmengine.model import BaseModule

    path = _save(tmp_path / "weights.pth", _timm_state("resnet18"))

    class Detector(BaseModule):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = mmbackbones.build("resnet18", init_cfg={"type": "Pretrained", "checkpoint": path})

    detector = Detector()
    detector.init_weights()
    assert detector.backbone.load_report.missing == ()
    with torch.no_grad():
        detector.backbone.conv1.weight.zero_()
    detector.init_weights()
    assert not detector.backbone.conv1.weight.any()


def test_other_init_cfgs_work_as_in_mmengine() -> None:
    net = mmbackbones.build("resnet18", init_cfg={"type": "Constant", "layer": "Conv2d", "val": 0.25})
    net.init_weights()
    assert (net.conv1.weight == 0.25).all()


def test_a_grey_image_gives_what_it_gave_in_rgb(tmp_path) -> None:
    path = _save(tmp_path / "weights.pth", _timm_state("resnet18"))
    rgb = mmbackbones.build("resnet18", pretrained=path).eval()
    net = mmbackbones.build("resnet18", pretrained=path, in_channels=1).eval()
    assert net.load_report.adapted == ("conv1.weight",)
    grey = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        for ours, theirs in zip(net(grey), rgb(grey.expand(-1, 3, -1, -1)), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("channels", "taken"), [(2, [0, 1]), (4, [0, 1, 2, 0]), (6, [0, 1, 2, 0, 1, 2])])
def test_more_channels_repeat_rgb_and_keep_the_scale(tmp_path, channels: int, taken: list[int]) -> None:
    state = _timm_state("resnet18")
    path = _save(tmp_path / "weights.pth", state)
    net = mmbackbones.build("resnet18", pretrained=path, in_channels=channels)
    torch.testing.assert_close(net.conv1.weight.data, state["conv1.weight"][:, taken] * 3 / channels)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("resnet34", ["does not fit", "%"]),
        ("resnet50", ["does not fit", "needs"]),
        ("mobilenet_v3_small", ["does not fit", "0%"]),
    ],
)
def test_a_file_of_another_model_raises_and_changes_nothing(tmp_path, model: str, words: list[str]) -> None:
    path = _save(tmp_path / "weights.pth", _torchvision_state(model))
    net = mmbackbones.build("resnet18", init_cfg={"type": "Pretrained", "checkpoint": path})
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.raises(InputError) as caught:
        net.init_weights()
    for word in (*words, path):
        assert word in str(caught.value)
    assert all(torch.equal(net.state_dict()[key], value) for key, value in before.items())


def test_what_is_missing_is_said(tmp_path) -> None:
    state = {k: v for k, v in _timm_state("resnet18").items() if k != "layer4.1.bn2.weight"}
    report = mmbackbones.build("resnet18", pretrained=_save(tmp_path / "w.pth", state)).load_report
    assert report.missing == ("layer4.1.bn2.weight",)
    assert "missing: layer4.1.bn2.weight" in str(report)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ["no checkpoint file"]),
        (b"", ["damaged"]),
        (b"not a checkpoint", ["damaged"]),
    ],
)
def test_broken_files_are_named(tmp_path, content: bytes | None, words: list[str]) -> None:
    path = tmp_path / "weights.pth"
    if content is not None:
        path.write_bytes(content)
    net = mmbackbones.build("resnet18", init_cfg={"type": "Pretrained", "checkpoint": str(path)})
    with pytest.raises(InputError) as caught:
        net.init_weights()
    for word in (*words, str(path)):
        assert word in str(caught.value)


def test_a_checkpoint_without_tensors_is_refused(tmp_path) -> None:
    torch.save({"state_dict": {"epoch": 3}}, tmp_path / "w.pth")
    with pytest.raises(InputError, match="no tensors"):
        mmbackbones.build("resnet18", pretrained=str(tmp_path / "w.pth"))


def test_unknown_schemes_are_refused() -> None:
    with pytest.raises(InputError, match="unknown scheme 'ftp://'"):
        mmbackbones.build("resnet18", pretrained="ftp://bucket/file")
    with pytest.raises(InputError, match="torchvision has no weights"):
        mmbackbones.build("resnet18", pretrained="torchvision://resnet18.IMAGENET1K_V9")


def test_names_of_weights_reach_the_right_loader(monkeypatch) -> None:
    """No download in tests: the loaders of timm and torchvision are replaced by fresh weights."""
    import timm
    from torchvision.models import ResNet18_Weights

    asked = []
    create = timm.create_model

    def fake_create(name: str, pretrained: bool = False, **kwargs: object) -> nn.Module:
        asked.append((name, pretrained))
        return create(name.split(".")[0], pretrained=False, **kwargs)

    monkeypatch.setattr(timm, "create_model", fake_create)
    net = mmbackbones.build("resnet18", pretrained=True)
    assert asked[-1] == ("resnet18.a1_in1k", True)
    assert net.load_report.missing == ()
    mmbackbones.build("resnet18", pretrained="tv_in1k")
    assert asked[-1] == ("resnet18.tv_in1k", True)

    def fake_state(self: ResNet18_Weights, *args: object, **kwargs: object) -> dict[str, torch.Tensor]:
        asked.append(str(self))
        return _torchvision_state("resnet18")

    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", fake_state)
    assert mmbackbones.build("resnet18", pretrained="IMAGENET1K_V1").load_report.missing == ()
    assert asked[-1] == "ResNet18_Weights.IMAGENET1K_V1"


def test_round_trip_of_the_state_dict() -> None:
    first, second = mmbackbones.build("regnety_040"), mmbackbones.build("regnety_040")
    second.load_state_dict(first.state_dict(), strict=True)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_a_failed_load_leaves_the_module_as_it_was() -> None:
    net = nn.Linear(2, 2)
    before = net.weight.clone()
    with pytest.raises(InputError, match="needs"):
        load_into(net, {"weight": torch.zeros(3, 3), "bias": torch.zeros(2)})
    assert torch.equal(net.weight, before)
