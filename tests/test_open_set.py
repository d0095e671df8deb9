"""Networks outside the catalog: made to take any image size, or refused with the reason."""

from __future__ import annotations

import copy
import dataclasses
import importlib.util
import math
import pickle
import re
from collections import Counter
from functools import cache
from typing import Any

import pytest
import torch
from torch import nn

import mmbackbones
from mmbackbones import InputError
from mmbackbones.sources import open_net
from mmbackbones.taps.position_tables import Table
from mmbackbones.taps.sizes import Blueprint, SizedNet

#: One small network for each way to free a network of its size, with arguments that make it smaller still.
SIZED: dict[str, dict[str, Any]] = {
    "beit_base_patch16_224": dict(depth=4, embed_dim=48, num_heads=3),  # distances, class token
    "cait_xxs24_224": dict(depth=4, embed_dim=48),  # places
    "hiera_tiny_224": dict(stages=(1, 1, 1, 1), embed_dim=48),  # places, sizes in a dict
    "volo_d1_224": {},  # places in two dimensions
    "levit_128s": {},  # distances without sign, a cache; strides 16, 32, 64
    "vit_relpos_small_patch16_224": dict(depth=4, embed_dim=48, num_heads=3),  # coordinates
    "gcvit_xxtiny": {},  # windows that grow with the image
    "convit_tiny": dict(depth=4, embed_dim=12),  # square images
    "mvitv2_tiny": {},  # built for squares, takes other images
    "maxvit_rmlp_pico_rw_256": {},  # multiples of its window
}


@cache
def build(name: str) -> mmbackbones.Backbone:
    """The network with position embeddings and tables that are not zero."""
    torch.manual_seed(0)
    net = mmbackbones.build(f"timm:{name}", net_kwargs=SIZED[name]).eval()
    for key, param in net.named_parameters():
        if any(word in key for word in ("pos", "bias_table", "biases", "rel_")):
            nn.init.normal_(param, std=0.5)
    return net


def sized_of(net: mmbackbones.Backbone) -> SizedNet:
    return net.feature_net if isinstance(net.feature_net, SizedNet) else net.feature_net.inner


@pytest.mark.parametrize("name", SIZED)
@torch.no_grad()
def test_maps_are_exact_at_sizes_the_net_was_not_built_for(name: str) -> None:
    net = build(name)
    for size in [(64, 64), (97, 133)]:
        maps = net(torch.randn(1, 3, *size))
        cells = [tuple(math.ceil(side / stride) for side in size) for stride in net.out_strides]
        assert [tuple(fmap.shape[-2:]) for fmap in maps] == cells
        assert all(fmap.isfinite().all() and fmap.std() > 0 for fmap in maps)


@pytest.mark.parametrize("name", SIZED)
@torch.no_grad()
def test_maps_at_the_native_size_are_timms_own(name: str) -> None:
    sized = sized_of(build(name))
    assert isinstance(sized, SizedNet)
    x = torch.randn(1, 3, *sized.blueprint.native)
    taps = list(range(sized.taps))
    theirs = sized.net.forward_intermediates(x, indices=taps, intermediates_only=True)
    for ours, expected in zip(sized.run(x, taps), theirs, strict=True):
        assert torch.equal(ours, expected)


@pytest.mark.parametrize("name", ["beit_base_patch16_224", "levit_128s", "volo_d1_224"])
@torch.no_grad()
def test_another_size_leaves_no_trace(name: str) -> None:
    net = build(name)
    x = torch.randn(1, 3, 224, 224)
    state = {key: value.clone() for key, value in net.state_dict().items()}
    before = net(x)
    net(torch.randn(1, 3, 112, 448))  # as many cells as 224x224
    assert all(torch.equal(a, b) for a, b in zip(before, net(x), strict=True))
    after = net.state_dict()
    assert after.keys() == state.keys()
    assert all(torch.equal(after[key], state[key]) for key in state)


@torch.no_grad()
def test_maps_at_another_size_are_those_of_a_net_built_for_it() -> None:
    """timm's own net of that size, with position embeddings resampled by timm's own function."""
    import timm
    from timm.layers import resample_abs_pos_embed

    net = build("cait_xxs24_224")
    state = {k: v for k, v in net.state_dict().items() if not k.startswith("pyramid.")}
    theirs = timm.create_model(
        "cait_xxs24_224", num_classes=0, img_size=(96, 160), **SIZED["cait_xxs24_224"]
    ).eval()
    state["pos_embed"] = resample_abs_pos_embed(state["pos_embed"], (6, 10), num_prefix_tokens=0)
    theirs.load_state_dict(state, strict=False)
    x = torch.randn(1, 3, 96, 160)
    expected = theirs.forward_intermediates(x, indices=[0, 3], intermediates_only=True)
    for ours, fmap in zip(sized_of(net).run(x, [0, 3]), expected, strict=True):
        torch.testing.assert_close(ours, fmap, rtol=0, atol=1e-5)


def test_a_size_is_in_force_again_where_a_checkpoint_computes_again() -> None:
    plain = build("beit_base_patch16_224")
    arguments = SIZED["beit_base_patch16_224"]
    saving = mmbackbones.build("timm:beit_base_patch16_224", net_kwargs=arguments, with_cp=True).eval()
    saving.load_state_dict(plain.state_dict())
    gradients = []
    for net in (plain, saving):
        total = sum(fmap.square().mean() for fmap in net(torch.ones(1, 3, 64, 96)))
        net(torch.ones(1, 3, 64, 64))  # another size between forward and backward
        names, params = zip(*net.named_parameters(), strict=True)
        gradients.append(dict(zip(names, torch.autograd.grad(total, params), strict=True)))
    assert gradients[0]["blocks.0.attn.relative_position_bias_table"].abs().max() > 0
    for name, grad in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], grad, rtol=1e-5, atol=1e-7)


@torch.no_grad()
def test_copies_take_any_size_too() -> None:
    net = build("beit_base_patch16_224")
    x = torch.randn(1, 3, 64, 96)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert all(torch.equal(a, b) for a, b in zip(net(x), other(x), strict=True))


def test_a_table_keeps_what_belongs_to_no_cell_and_the_distance_zero() -> None:
    places = torch.cat((torch.full((1, 1, 2), 9.0), torch.ones(1, 196, 2)), 1)
    grid = Table(dim=1, kind="grid", step=16, extras=1, distances=False)
    longer = grid.resampled(places, (224, 224), (96, 160))
    assert longer.shape == (1, 61, 2)
    assert torch.all(longer[:, 0] == 9)
    torch.testing.assert_close(longer[:, 1:], torch.ones(1, 60, 2))
    assert grid.resampled(places, (224, 224), (220, 210)) is places

    high, wide = torch.arange(-13.0, 14)[:, None], torch.arange(-13.0, 14)
    away = torch.cat(((high.abs() + wide.abs()).reshape(-1, 1), torch.tensor([[7.0], [8.0]])))
    table = Table(dim=0, kind="offsets", step=16, extras=2, distances=True)
    longer = table.resampled(away, (224, 224), (96, 160))
    assert longer.shape == (11 * 19 + 2, 1)
    assert longer[-2:].flatten().tolist() == [7, 8]
    cells = longer[:-2].reshape(11, 19)
    torch.testing.assert_close(cells, cells.flip(0, 1))  # no direction is preferred
    torch.testing.assert_close(cells[[0, 0, -1], [0, -1, 0]], torch.full((3,), 26.0))
    assert cells.argmin() == 11 * 19 // 2


@torch.no_grad()
def test_weights_for_each_cell_bound_the_image() -> None:
    net = mmbackbones.build("timm:mixer_s32_224", net_kwargs=dict(mlp_ratio=1)).eval()
    assert [tuple(m.shape[-2:]) for m in net(torch.randn(1, 3, 100, 170))] == [
        (25, 43),
        (13, 22),
        (7, 11),
        (4, 6),
    ]
    with pytest.raises(InputError, match=r"'mixer_s32_224' got an image of 96x256 and takes 224x224 at most"):
        net(torch.randn(1, 3, 96, 256))
    arguments = dict(mlp_ratio=1, img_size=(96, 256))
    wider = mmbackbones.build("timm:mixer_s32_224", net_kwargs=arguments).eval()
    assert wider(torch.randn(1, 3, 96, 256))[3].shape == (1, 512, 3, 8)


@torch.no_grad()
def test_torchvisions_maxvit_takes_any_size() -> None:
    net = mmbackbones.build("torchvision:maxvit_t").eval()
    assert [tuple(m.shape[1:]) for m in net(torch.randn(1, 3, 70, 130))] == [
        (64, 18, 33),
        (128, 9, 17),
        (256, 5, 9),
        (512, 3, 5),
    ]


@pytest.mark.parametrize(
    ("source", "name", "arguments", "fixed"),
    [
        ("timm", "shvit_s1", {}, True),  # its classes do not say that they attend
        ("torchvision", "swin_t", {}, True),  # attends in a function beside the class
        ("timm", "vit_tiny_patch16_224", {}, False),  # has a flag that frees it
        ("timm", "mixer_s32_224", {}, True),  # asks for a size
        ("timm", "resnet18", {}, False),
        ("timm", "resnet18", dict(block_args=dict(attn_layer="cbam")), False),  # gates, called attention
    ],
)
def test_other_sizes_are_tried_where_a_net_asks_for_one_or_attends(
    source: str, name: str, arguments: dict[str, Any], fixed: bool
) -> None:
    with torch.device("meta"):
        net = open_net(source, name, 3, arguments).net
    assert Blueprint(source, name, arguments).may_be_fixed(net) == fixed


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("timm:crossvit_9_240", "no maps at strides that are powers of two"),  # strides 12 and 16
        ("timm:pit_ti_224", "does not run: RuntimeError: .*27"),  # cells of stride 8, for 224 pixels only
        ("torchvision:vit_b_32", "not a chain of modules.*timm has transformers"),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(name: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason), torch.device("meta"):
        mmbackbones.build(name)


@pytest.fixture(scope="module")
def coverage(root) -> Any:
    spec = importlib.util.spec_from_file_location(
        "coverage_verdicts", root / "docs" / "coverage" / "verdicts.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_sweep_finds_what_is_wrong(coverage, monkeypatch) -> None:
    with torch.device("meta"):
        assert coverage.check("timm:test_resnet")["verdict"] == coverage.FREE
        assert coverage.check("timm:nothing")["verdict"] == coverage.NO
        spec = mmbackbones.get_spec("timm:test_resnet")
        wrong = dataclasses.replace(spec, channels={**spec.channels, 32: 5})
        monkeypatch.setattr(mmbackbones, "get_spec", lambda _: wrong)
        assert coverage.check("timm:test_resnet")["verdict"] == coverage.BROKEN


def test_the_page_of_coverage_adds_up(coverage, root) -> None:
    page = (root / "docs" / "coverage.md").read_text(encoding="utf-8")
    swept_with = dict(re.findall(r"\b(timm|torchvision) (\d[\d.]*\d)", page.split("\n## ")[0]))
    here = {source: coverage.versions()[source] for source in swept_with}
    assert swept_with.keys() == {"timm", "torchvision"}
    for versions in (swept_with, here):  # patches of torchvision bring no names, those of timm do
        versions["torchvision"] = versions["torchvision"].rpartition(".")[0]
    if here != swept_with:
        pytest.skip(f"the page was made with {swept_with}, which have other names than {here}")
    every = Counter(name.split(":")[0] for name in coverage.names())
    for source, part in zip(("timm", "torchvision"), page.split("\n## ")[1:3], strict=True):
        words = re.search(
            r"(\d+) of (\d+) names swept; (\d+) work.*?(\d+) at any size, (\d+) up to", part, re.S
        )
        swept, total, works, free, bound = map(int, words.groups())
        assert (part.split()[0], swept, total) == (source, every[source], every[source])
        assert works / total >= 0.97 or source == "torchvision"  # whose ViT is timm's
        rows = [line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("| ")]
        families = [row for row in rows if len(row) > 4 and row[1].isdigit()]
        sums = [sum(int(row[column]) for row in families) for column in (1, 2, 3, 4)]
        failures = [row for row in rows if row[0].startswith(f"{source}:")]
        assert sums == [swept, free, bound, len(failures)]
        assert free + bound == works == swept - len(failures)
