"""Contract point 9: ONNX export and ``torch.compile``."""

from __future__ import annotations

import copy
import io
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from cases import SMALLEST, SWEEP, built, close, needs_newer_torch, quick, with_random_norms
from torch import Tensor

import mmbackbones
from mmbackbones.backbone import Backbone

#: One of each way that a net is put together, as short as shows it. ``make test`` exports these,
#: ``make sweep`` every family's whole.
SHALLOW = {"net_kwargs": {"depth": 4, "embed_dim": 48, "num_heads": 3}}
SWIN = {"depths": (2, 1, 1, 1), "embed_dim": 24, "num_heads": (1, 2, 2, 4)}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "gates and TensorFlow's padding": ("timm:tf_mobilenetv3_small_075", {}),
    "a chain of torchvision, with channels shuffled": ("shufflenet_v2_x0_5", {"out_strides": (4, 8)}),
    "a chain written here": ("alexnet_original", {}),
    "padded to a multiple of 32": ("vgg11", {}),
    "pools rewritten as modules, and padding repaired": ("inception_v3", {"out_strides": (4, 8)}),
    "windows that are shifted": ("swin_tiny_patch4_window7_224", {"net_kwargs": SWIN, "out_strides": (4, 8)}),
    "a plain transformer with its pyramid, its patches resampled": (
        "vit_small_patch14_dinov2",
        {"out_strides": (4, 8), **SHALLOW},
    ),
}
EXPORTED = {name: (name, {}) for name in SMALLEST} if SWEEP else KINDS


def of_kind(name: str, arguments: dict[str, Any]) -> Backbone:
    return with_random_norms(quick(name, **arguments)) if arguments else built(name)


@pytest.mark.parametrize(("name", "arguments"), EXPORTED.values(), ids=[*EXPORTED])
def test_onnx_export_gives_the_same_maps(name: str, arguments: dict[str, Any], exporter: None) -> None:
    assert_onnx_gives_the_same(of_kind(name, arguments), torch.rand(1, 3, 96, 64))


def assert_onnx_gives_the_same(net: Backbone, x: Tensor) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime comes with the extra dev")
    file = io.BytesIO()
    torch.onnx.export(net, (x,), dynamo=True, verbose=False).save(file)
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    outputs = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    with torch.no_grad():
        for ours, theirs in zip(outputs, net(x), strict=True):
            assert close(torch.from_numpy(ours), theirs, 1e-3)


@pytest.fixture
def compiler() -> Iterator[None]:
    """A compiler without anything kept from other nets."""
    torch.compiler.reset()
    yield
    torch.compiler.reset()


#: timm's run of this one counts by ``enumerate(..., start=1)``, which torch 2.4 does not compile.
COMPILED = [
    pytest.param(*case, id=kind, marks=needs_newer_torch if kind.startswith("gates") else ())
    for kind, case in KINDS.items()
]


@pytest.mark.parametrize(("name", "arguments"), COMPILED)
@pytest.mark.usefixtures("compiler")
def test_torch_compile_traces_the_whole_net(name: str, arguments: dict[str, Any]) -> None:
    """backend='eager' needs no C++ compiler, as inductor does; fullgraph raises at every break."""
    net = of_kind(name, arguments)
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        compiled = torch.compile(net, backend="eager", fullgraph=True)(x)
        for ours, theirs in zip(compiled, net(x), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


#: torch 2.4 updates statistics in a compiled backward pass too, where it computes a unit again.
TRAINED = [
    pytest.param({"with_cp": True}, marks=needs_newer_torch),
    {"output_stride": 8, "frozen_stages": 1},
]


@pytest.mark.parametrize("arguments", TRAINED, ids=str)
@pytest.mark.usefixtures("compiler")
def test_a_compiled_net_trains(arguments: dict[str, Any]) -> None:
    """The backward pass is compiled too: aot_eager is inductor without its code generator."""
    plain = mmbackbones.build("timm:resnet10t", **arguments)
    net = copy.deepcopy(plain)
    compiled = torch.compile(net, backend="aot_eager")
    x = torch.rand(2, 3, 64, 64)
    for run in (plain, compiled):
        sum((fmap**2).mean() for fmap in run(x)).backward()
    grads = {key: param.grad for key, param in net.named_parameters() if param.requires_grad}
    assert grads
    for key, param in plain.named_parameters():
        if param.requires_grad:
            torch.testing.assert_close(grads[key], param.grad, rtol=1e-3, atol=1e-4, msg=key)
    for (key, ours), theirs in zip(net.named_buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5, msg=key)  # statistics, once each


@pytest.fixture(scope="module")
def fixed() -> Backbone:
    """A small net that is built for images of 64x96, with tables of positions that are not zero."""
    small = dict(depth=4, embed_dim=48, num_heads=3, img_size=(64, 96))
    net = quick("timm:beit_base_patch16_224", net_kwargs=small, out_strides=(4, 8)).eval()
    for key, param in net.named_parameters():
        if "bias_table" in key:
            torch.nn.init.normal_(param, std=0.5)
    return net


@pytest.mark.parametrize("size", [(64, 96), (96, 64)], ids=["its own", "another"])
def test_onnx_of_a_net_of_fixed_size(size: tuple[int, int], fixed: Backbone, exporter: None) -> None:
    assert_onnx_gives_the_same(fixed, torch.rand(1, 3, *size))


@pytest.mark.parametrize("size", [(64, 96), (96, 64)], ids=["its own", "another"])
@pytest.mark.usefixtures("compiler")
def test_torch_compile_of_a_net_of_fixed_size(size: tuple[int, int], fixed: Backbone) -> None:
    """At its own size it is one graph; at another the net for that size is made outside of it."""
    x = torch.rand(1, 3, *size)
    with torch.no_grad():
        compiled = torch.compile(fixed, backend="eager", fullgraph=size == (64, 96))(x)
        for ours, theirs in zip(compiled, fixed(x), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
