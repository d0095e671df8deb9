"""Nets built for one image size run at others without being changed, so that threads and replicas may."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.parallel import replicate

import mmbackbones
from mmbackbones.backbone import Backbone
from mmbackbones.taps.sizes import geometries

NAME, TINY = "timm:beit_base_patch16_224", dict(depth=4, embed_dim=48, num_heads=3)


@pytest.fixture(scope="module")
def net() -> Backbone:
    torch.manual_seed(0)
    net = mmbackbones.build(NAME, net_kwargs=TINY).eval()
    for key, param in net.named_parameters():
        if "bias_table" in key:
            torch.nn.init.normal_(param, std=0.5)
    return net


def equal(ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_threads_with_images_of_different_sizes(net: Backbone) -> None:
    images = [torch.randn(1, 3, *size) for size in [(64, 96), (224, 224), (96, 64), (128, 64)]] * 6

    def run(image: Tensor) -> tuple[Tensor, ...]:
        with torch.no_grad():
            return net(image)

    one_by_one = [run(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        at_once = list(pool.map(run, images))
    assert all(equal(ours, theirs) for ours, theirs in zip(at_once, one_by_one, strict=True))


@pytest.mark.parametrize("name", [NAME, "timm:resnet10t"])
def test_a_replica_runs_on_tensors_of_its_own(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``DataParallel`` makes it; what it does on each device is done here by a product with a number."""
    net = mmbackbones.build(name, net_kwargs=TINY if name == NAME else None).eval()

    def broadcast(tensors: list[Tensor], devices: list[int], detach: bool = False) -> list[list[Tensor]]:
        return [[tensor * (device + 1) for tensor in tensors] for device in devices]

    module = __import__("sys").modules[replicate.__module__]
    monkeypatch.setattr(module, "_get_device_index", lambda device, _: device)
    monkeypatch.setattr(module, "_broadcast_coalesced_reshape", broadcast)
    same, doubled = replicate(net, [0, 1])
    expected = mmbackbones.build(name, net_kwargs=TINY if name == NAME else None).eval()
    state = {k: v * 2 if v.is_floating_point() else v for k, v in net.state_dict().items()}
    expected.load_state_dict(state)
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        assert equal(same(image), net(image))
        for ours, theirs in zip(doubled(image), expected(image), strict=True):
            torch.testing.assert_close(ours, theirs)
        assert not equal(doubled(image), net(image))


def test_a_size_is_built_once_and_its_memory_bounded(net: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest unused is forgotten, and built anew when it is wanted again."""
    feature_net: Any = net.feature_net
    found = geometries(feature_net.inner.blueprint, False)
    built = []
    monkeypatch.setattr(found, "build", lambda size, build=found.build: built.append(size) or build(size))
    *sizes, new = [(80, 32 * k) for k in range(2, 6)]  # of no other test
    first, last = sizes[0], sizes[-1]

    def run(*sizes: tuple[int, int]) -> None:
        with torch.no_grad():
            for size in sizes:
                net(torch.randn(1, 3, *size))

    run(*sizes * 2)
    assert built == sizes
    built.clear()
    with monkeypatch.context() as less:
        less.setattr(found, "KEPT", 0)
        run(new, new, last, last)
        assert built == [new, last]
    run(last, first, last, new)
    assert built == [new, last, first, new]


def test_the_network_is_not_changed_while_it_runs(net: Backbone) -> None:
    attention = net.get_submodule("blocks.0.attn")
    table, seen = attention.relative_position_bias_table, []
    norm = net.get_submodule("blocks.1.norm1")
    hook = norm.register_forward_hook(lambda *_: seen.append(attention.relative_position_bias_table))
    net(torch.randn(1, 3, 64, 96))
    hook.remove()
    assert seen == [table]


@pytest.mark.parametrize("kind", ["SyncBN", "FrozenBN"])
def test_norms_are_replaced_in_a_net_of_fixed_size_too(kind: str) -> None:
    """At its own size and at others it gives what it gave."""
    plain = mmbackbones.build("timm:levit_128s").eval()
    other = mmbackbones.build("timm:levit_128s", norm_cfg=dict(type=kind)).eval()
    other.load_state_dict(plain.state_dict(), strict=kind == "SyncBN")
    for size in ((224, 224), (64, 96), (97, 65)):
        image = torch.randn(1, 3, *size)
        with torch.no_grad():
            for ours, theirs in zip(other(image), plain(image), strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5 * float(theirs.abs().max()))


def test_norms_over_groups_train_at_another_size() -> None:
    net = mmbackbones.build("timm:levit_128s", norm_cfg=dict(type="GN", num_groups=1)).train()
    sum((fmap**2).mean() for fmap in net(torch.randn(2, 3, 64, 96))).backward()
    assert [name for name, param in net.named_parameters() if param.grad is None] == []
