"""Users' own networks: which maps are found in them, and that they are backbones like any other."""

from __future__ import annotations

import copy
import math
import pickle
from pathlib import Path

import pytest
import torch
from cases import needs_newer_torch
from mmengine.config import Config
from own_cases import NETS, registered  # noqa: F401
from torch import nn

import mmbackbones
from mmbackbones.backbone import Backbone
from mmbackbones.feature_nets.own import taps_of
from mmbackbones.registry import MODELS

pytestmark = pytest.mark.usefixtures("registered")

#: Where the last map of each stride is in the nets of ``own_nets.py``.
PLACES = {
    "dictnet": {2: "the input of pool", 4: "res2", 8: "output['res3']", 16: "res4", 32: "res5"},
    "listnet": {4: "output[0]", 8: "output[1]", 16: "output[2]", 32: "output[3]"},
    "logitsnet": {2: "blocks.0", 4: "blocks.2", 8: "blocks.4", 16: "blocks.6", 32: "blocks.7"},
    "unpaddednet": {
        2: "the input of stage1.pool0",
        4: "the input of stage2.pool0",
        8: "the input of stage3.pool0",
        16: "stage3",
        32: "stage4",
    },
    "nhwcnet": {4: "layers.0.1", 8: "layers.1.1", 16: "layers.2.1", 32: "norm"},
}


@pytest.mark.parametrize("name", NETS)
def test_the_last_map_of_each_stride_is_found(name: str) -> None:
    assert {stride: str(place) for stride, place in taps_of(name).items()} == PLACES[name]
    spec = mmbackbones.get_spec(name)
    assert spec.strides == tuple(PLACES[name])
    net = mmbackbones.build(name, out_strides=spec.strides)
    assert net.out_channels == tuple(spec.channels.values())
    for size in ((64, 64), (97, 133)):
        maps = net(torch.rand(2, 3, *size))
        cells = [tuple(math.ceil(side / stride) for side in size) for stride in spec.strides]
        assert [tuple(fmap.shape[1:]) for fmap in maps] == [
            (width, *cell) for width, cell in zip(net.out_channels, cells, strict=True)
        ]


def test_maps_are_the_networks_own() -> None:
    import own_nets

    net = mmbackbones.build("dictnet").eval()
    theirs = own_nets.DictNet().eval()
    theirs.load_state_dict(net.state_dict(), strict=True)
    x = torch.rand(1, 3, 97, 64)
    with torch.no_grad():
        for ours, expected in zip(net(x), theirs(x).values(), strict=True):
            assert torch.equal(ours, expected)


def test_an_own_name_is_known_wherever_names_are(tmp_path: Path) -> None:
    assert {*NETS} <= {*mmbackbones.list_backbones()}
    assert mmbackbones.list_backbones("dict*", family="papers", kind="cnn", dilatable=True) == ["dictnet"]
    spec = mmbackbones.get_spec("dictnet")
    assert (spec.paper, spec.year, spec.has_se) == ("0000.00000", 2020, False)
    assert mmbackbones.get_spec("logitsnet").has_se
    assert spec.params == sum(p.numel() for p in mmbackbones.build("dictnet").parameters())
    kind = MODELS.get("dictnet")
    assert issubclass(kind, Backbone)
    net = MODELS.build(dict(type="mmbackbones.dictnet", out_indices=(1, 3), net_kwargs=dict(width=8)))
    assert net.out_channels == (24, 40)
    assert type(pickle.loads(pickle.dumps(net))) is type(net)
    neck = mmbackbones.pair("dictnet", "FPN", net_kwargs=dict(width=8))["neck"]
    assert neck["in_channels"] == [16, 24, 32, 40]
    with pytest.raises(mmbackbones.InputError, match="Unknown backbone 'dictnt'. Nearest: dictnet"):
        mmbackbones.build("dictnt")
    with pytest.raises(mmbackbones.InputError, match="network of your own: name the file"):
        MODELS.build(dict(type="mmbackbones.dictnt"))


def test_a_config_names_the_file_in_custom_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "papers_nets.py").write_text(
        "import own_nets\nfrom mmbackbones import register_backbone\n"
        "register_backbone('papernet', own_nets.DictNet)\n"
    )
    (tmp_path / "config.py").write_text(
        "custom_imports = dict(imports=['papers_nets'])\n"
        "model = dict(backbone=dict(type='mmbackbones.papernet', frozen_stages=1))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    cfg = Config.fromfile(tmp_path / "config.py")
    net = MODELS.build(cfg.model.backbone)
    assert {name.split(".")[0] for name, p in net.named_parameters() if not p.requires_grad} == {
        *("stem", "bn", "res2"),
    }


def test_swap_puts_an_own_network_into_a_config(tmp_path: Path) -> None:
    from mmdet.registry import MODELS as DETECTORS
    from mmengine.registry import init_default_scope
    from typer.testing import CliRunner

    from mmbackbones.cli import app

    out = tmp_path / "swapped.py"
    file = str(Path(__file__).with_name("own_nets.py"))
    command = ["swap", "mmdet::retinanet/retinanet_r50_fpn_1x_coco", "--backbone", "dictnet"]
    command += ["--import", file, "--frozen-stages", "1", "-o", str(out)]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    cfg = Config.fromfile(out)
    assert cfg.custom_imports["imports"] == ["own_nets"]
    assert cfg.model.neck.in_channels == [32, 48, 64, 80]
    init_default_scope("mmdet")
    model = DETECTORS.build(cfg.model)
    assert type(model.backbone).__name__ == "dictnet"
    assert model.backbone.frozen_stages == 1
    assert len(model.extract_feat(torch.rand(1, 3, 64, 64))) == 5
    normed = mmbackbones.swap("mmseg::upernet/upernet_r50_4xb4-20k_voc12aug-512x512", "dictnet")
    bare = mmbackbones.swap("mmseg::upernet/upernet_r50_4xb4-20k_voc12aug-512x512", "nhwcnet")
    assert normed.model.backbone.norm_cfg.type == "SyncBN"
    assert "norm_cfg" not in bare.model.backbone  # it has no batch norm


def test_dilation_checkpointing_and_other_channels() -> None:
    plain = mmbackbones.build("dictnet").eval()
    dilated = mmbackbones.build("dictnet", output_stride=8).eval()
    assert dilated.out_strides == (4, 8, 8, 8)
    dilated.load_state_dict(plain.state_dict())
    x = torch.rand(1, 3, 128, 96)
    with torch.no_grad():
        for ours, theirs, step in zip(dilated(x), plain(x), (1, 1, 2, 4), strict=True):
            torch.testing.assert_close(ours[..., ::step, ::step], theirs, rtol=1e-4, atol=1e-5)
    cheap = mmbackbones.build("logitsnet", with_cp=True, norm_cfg=dict(type="GN", num_groups=2))
    costly = copy.deepcopy(mmbackbones.build("logitsnet", norm_cfg=dict(type="GN", num_groups=2)))
    costly.load_state_dict(cheap.state_dict())
    for net in (cheap, costly):
        sum(fmap.square().mean() for fmap in net(x)).backward()
    for (key, ours), theirs in zip(cheap.named_parameters(), costly.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, msg=key)
    assert mmbackbones.build("logitsnet", in_channels=4)(torch.rand(1, 4, 64, 64))
    with pytest.raises(mmbackbones.InputError, match="'nhwcnet' cannot be dilated"):
        mmbackbones.build("nhwcnet", output_stride=8)


def test_layer_decay_counts_its_layers() -> None:
    net = mmbackbones.build("listnet")
    layers = net.param_layers
    assert [layers[f"block{k}.{j}.fc1.weight"] for k in (1, 2, 3, 4) for j in (0, 1)] == sorted(
        {layers[f"block{k}.{j}.fc1.weight"] for k in (1, 2, 3, 4) for j in (0, 1)}
    )
    assert layers["patch_embed1.weight"] == 0


def test_weights_of_the_whole_network_load(tmp_path: Path) -> None:
    import own_nets

    whole = own_nets.logitsnet()
    torch.save(whole.state_dict(), tmp_path / "whole.pth")
    net = mmbackbones.build("logitsnet", pretrained=str(tmp_path / "whole.pth"))
    assert set(net.load_report.ignored) == {"fc.weight", "fc.bias", "aux.weight", "aux.bias"}
    assert torch.equal(net.blocks[3].dw.weight, whole.blocks[3].dw.weight)


@torch.no_grad()
def test_threads_read_the_maps_of_their_own_images() -> None:
    from concurrent.futures import ThreadPoolExecutor

    net = mmbackbones.build("logitsnet", out_indices=(1,)).eval()
    images = [torch.rand(1, 3, 64, 64 + 32 * k) for k in range(4)]
    expected = [net(x)[0] for x in images]
    with ThreadPoolExecutor(4) as pool:
        for ours, theirs in zip(pool.map(net, images), expected, strict=True):
            assert torch.equal(ours[0], theirs)


@needs_newer_torch
@torch.no_grad()
def test_a_net_that_hooks_read_compiles_whole() -> None:
    net, x = mmbackbones.build("logitsnet", out_indices=(1,)).eval(), torch.rand(1, 3, 64, 64)
    torch.compiler.reset()
    compiled = torch.compile(net, backend="eager", fullgraph=True)(x)
    torch.testing.assert_close(compiled, net(x))


def test_what_is_behind_the_asked_map_is_neither_computed_nor_kept() -> None:
    net = mmbackbones.build("logitsnet", out_indices=(1,))
    assert {name.split(".")[1] for name, _ in net.named_parameters() if name.startswith("blocks")} == set(
        "01234"
    )
    called: list[str] = []
    for name, module in net.named_modules():
        if not isinstance(module, nn.Identity):
            module.register_forward_hook(lambda *_, name=name: called.append(name))
    net(torch.rand(1, 3, 64, 64))
    assert "blocks.3" in called
    assert not any(name.startswith(("blocks.5", "fc", "dropout")) for name in called)
