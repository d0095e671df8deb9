"""Users' own networks that cannot be backbones, each with what to do; taps of their own; entry points."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from own_cases import registered  # noqa: F401
from torch import Tensor, nn
from torch.nn import functional as F

import mmbackbones
from mmbackbones import InputError, register_backbone
from mmbackbones.catalog import own
from mmbackbones.feature_nets.own import taps_of

pytestmark = pytest.mark.usefixtures("registered")


class Net(nn.Module):
    """Three convolutions of ``strides``, then ``end(module, maps)``."""

    def __init__(self, end: Callable[..., object], strides: tuple[int, ...] = (4, 2, 2)) -> None:
        super().__init__()
        convs = [nn.Conv2d(8 if k else 3, 8, 2 * (s // 2) + 1, s, s // 2) for k, s in enumerate(strides)]
        self.convs, self.fc, self.end = nn.ModuleList(convs), nn.Linear(8, 5), end

    def forward(self, x: Tensor) -> object:
        maps = []
        for conv in self.convs:
            x = F.relu(conv(x))
            maps.append(x)
        return self.end(self, maps)


class Tokens(nn.Module):
    """A plain transformer in small: patches, then layers on tokens."""

    def __init__(self, flat: bool = False) -> None:
        super().__init__()
        self.flat = flat
        self.patches = nn.Linear(3 * 16 * 16, 8) if flat else nn.Conv2d(3, 8, 16, 16)
        self.layers = nn.Sequential(*[nn.Linear(8, 8) for _ in range(6)])

    def forward(self, x: Tensor) -> Tensor:
        if self.flat:
            return self.layers(self.patches(F.unfold(x, 16, stride=16).transpose(1, 2))).mean(1)
        return self.layers(self.patches(x).flatten(2).transpose(1, 2)).mean(1)


def logits(net: Net, maps: list[Tensor]) -> Tensor:
    return net.fc(maps[-1].mean((2, 3)))


BAD: dict[str, tuple[Callable[[], object], str]] = {
    "no_maps": (lambda: Tokens(flat=True), "'no_maps': it has no maps: for an image of 1344x1792 no module"),
    "tokens": (lambda: Tokens(), r"last map is patches, of stride 16, behind 1 of its 7 layers .*tokens"),
    "changing": (
        lambda: Net(lambda net, maps: maps[::-1] if net.training else dict(a=maps[0], b=maps[1], c=maps[2])),
        r"in train\(\) the map of stride 4 is that of output\[2\].* in eval\(\) that of output\['a'\] with 8 "
        r"channels: forward returns a list with 3 maps in the one, a dict with 3 maps in the other",
    ),
    "thirds": (
        lambda: Net(logits, (3, 3, 3)),
        "its maps have no strides that are powers of two: .*they are at strides 3, 8.96, 26.9",
    ),
    "one_size": (
        lambda: Net(lambda net, maps: net.convs[2](maps[2].reshape(len(maps[2]), 8, 14, 14))),
        r"'one_size': it runs at none of 1344x1792, .*\(RuntimeError: .*[Ll]et what depends",
    ),
    "no_net": (lambda: [1], "The factory of 'no_net' gave a list; it must give an nn.Module"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_backbone_says_what_to_change(name: str) -> None:
    factory, words = BAD[name]
    register_backbone(name, factory, force=True)
    with pytest.raises(InputError, match=words):
        mmbackbones.build(name)
    with pytest.warns(UserWarning, match=f"Left out of the list: .*{name}"):
        assert name not in mmbackbones.list_backbones()
    del own.REGISTERED[name]


def test_a_classifier_that_has_more_outputs_in_training_is_a_backbone() -> None:
    def end(net: Net, maps: list[Tensor]) -> object:
        return [logits(net, maps)] * 2 if net.training else logits(net, maps)

    register_backbone("aux", lambda: Net(end))
    net = mmbackbones.build("aux")
    assert net.out_strides == (4, 8, 16)
    for mode in (True, False):
        assert [fmap.shape[-1] for fmap in net.train(mode)(torch.rand(1, 3, 64, 64))] == [16, 8, 4]
    assert not hasattr(net.fc, "weight")


def test_taps_override_what_the_run_finds() -> None:
    register_backbone("chosen", lambda: Net(logits), taps={8: "convs.1"})
    register_backbone("keyed", lambda: Net(lambda net, m: dict(a=m[0], b=m[1], b2=-m[1])), taps={8: "b"})
    assert {s: str(p) for s, p in taps_of("chosen").items()} == {
        4: "the input of convs.1",
        8: "convs.1",
        16: "convs.2",
    }
    assert [str(place) for place in taps_of("keyed").values()] == ["output['a']", "output['b']", "convs.2"]
    x = torch.rand(1, 3, 64, 64)
    assert mmbackbones.build("chosen", out_indices=(1,))(x)[0].min() < 0  # before the ReLU
    assert mmbackbones.build("keyed", out_indices=(1,))(x)[0].min() == 0


@pytest.mark.parametrize(
    ("taps", "words"),
    [
        ({8: "convs.11"}, "taps={8: 'convs.11'}: no module of that path is called. Nearest: convs.1"),
        ({8: "convs.0"}, r"taps={8: 'convs.0'}: it gives \(8, 336, 448\) .*no map of stride 8"),
        ({8: "fc"}, "taps={8: 'fc'}: it gives no map"),
        ({12: "convs.1"}, "taps has the stride 12. Strides are powers of two"),
        ({8: None}, "Write the path of a module"),
    ],
)
def test_taps_that_are_none_are_refused(taps: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):  # noqa: PT012
        register_backbone("wrong", lambda: Net(logits), taps=taps, force=True)
        mmbackbones.build("wrong")
    own.REGISTERED.pop("wrong", None)


def test_names_that_exist_are_refused() -> None:
    for name in ("resnet50", "swin_tiny"):  # a name, an alias
        with pytest.raises(InputError, match=f"'{name}' is a backbone of the catalog .*Choose another name"):
            register_backbone(name, Tokens)
    for name in ("my.net", "timm:net", "", 3):
        with pytest.raises(InputError, match="cannot be the name of a backbone"):
            register_backbone(name, Tokens)
    register_backbone("twice", Tokens)
    register_backbone("twice", Tokens)  # the same file, imported twice
    with pytest.raises(InputError, match="'twice' is registered already, for Tokens of .*force=True"):
        register_backbone("twice", Net)
    with pytest.raises(InputError, match="is no class or function"):
        register_backbone("nothing", 3)
    register_backbone("twice", lambda: Net(logits), force=True)
    assert mmbackbones.get_spec("twice").strides == (4, 8, 16)
    register_backbone("twice", lambda: Net(logits, (2, 2, 2)), force=True)
    assert mmbackbones.get_spec("twice").strides == (2, 4, 8)
    with pytest.raises(InputError, match=r"factory of 'dictnet' refuses net_kwargs=\{'wide': 1\}.*'wide'"):
        mmbackbones.build("dictnet", net_kwargs=dict(wide=1))


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed package that offers a network, a broken one, and one of the catalog's name."""
    (tmp_path / "papers_pkg.py").write_text("from own_nets import DictNet as Net\n")
    info = tmp_path / "papers_pkg-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: papers-pkg\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[mmbackbones.backbones]\noffered = papers_pkg:Net\n"
        "broken = papers_gone:Net\nresnet50 = papers_pkg:Net\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    own.offered.cache_clear()
    yield
    own.offered.cache_clear()


@pytest.mark.usefixtures("package")
def test_a_package_offers_networks_and_a_broken_one_breaks_nothing() -> None:
    from mmbackbones.registry import MODELS

    assert MODELS.build(dict(type="mmbackbones.offered", out_indices=(0,))).out_channels == (32,)
    assert mmbackbones.get_spec("resnet50").source == "timm"
    with pytest.warns(UserWarning, match="'broken' is offered by papers-pkg as papers_gone:Net"):
        names = mmbackbones.list_backbones()
    assert "offered" in names
    assert "resnet50" in names
    assert "broken" not in names
    with pytest.raises(InputError, match="No module named 'papers_gone'.*Mend or uninstall"):
        mmbackbones.build("broken")
