"""The same maps as timm and torchvision give with the same weights, and the reference table's figures."""

from __future__ import annotations

import csv
import functools
from pathlib import Path

import pytest
import torch
from cases import NAMES, PLAIN, Draws, blank, with_random_norms
from torch import Tensor, nn
from torch.nn import functional as F

import mmbackbones
from mmbackbones.catalog.spec import PYRAMID
from mmbackbones.feature_nets.specs import without_values

TIMM = [name for name in NAMES if mmbackbones.get_spec(name).source == "timm"]
#: Rows with a file of torchvision among their weights: the names of the parameters are torchvision's too.
TORCHVISION = [
    name for name in NAMES if any(w.startswith("torchvision://") for w in mmbackbones.get_spec(name).weights)
]
#: Where torchvision's networks have the maps of the catalog's strides, fine to coarse; `params.csv`.
STAGES = "relu layer1 layer2 layer3 layer4"
BLOCKS = "features.relu0 features.denseblock1 features.denseblock2 features.denseblock3 relu"
NODES = {
    "alexnet": "features.1 features.4 features.11 features.12",
    "densenet": BLOCKS,
    "googlenet": "conv1 conv3 inception3b inception4e inception5b",
    "resnet": STAGES,
    "resnext": STAGES,
    "shufflenet_v2": "conv1 maxpool stage2 stage3 stage4",
    "squeezenet1_0": "features.1 features.5 features.10 features.12",
    "squeezenet1_1": "features.1 features.4 features.7 features.12",
    "vgg11": "features.1 features.4 features.9 features.14 features.19 features.20",
    "vgg11_bn": "features.2 features.6 features.13 features.20 features.27 features.28",
    "vgg13": "features.3 features.8 features.13 features.18 features.23 features.24",
    "vgg13_bn": "features.5 features.12 features.19 features.26 features.33 features.34",
    "vgg16": "features.3 features.8 features.15 features.22 features.29 features.30",
    "vgg16_bn": "features.5 features.12 features.22 features.32 features.42 features.43",
    "vgg19": "features.3 features.8 features.17 features.26 features.35 features.36",
    "vgg19_bn": "features.5 features.12 features.25 features.38 features.51 features.52",
    "wide_resnet": STAGES,
}


def check_maps(name: str, upstream: nn.Module, expected: dict[int, Tensor], x: Tensor) -> None:
    """Our maps of ``x``, with the weights of ``upstream`` and the padding of its authors, are ``expected``.

    timm's feature networks write ``layer1_0`` where the network itself has ``layer1.0``.
    """
    ours = blank(name, repair_padding=False, out_strides=list(expected)).eval()
    outer = ("body.", "model.")  # of timm's feature networks that wrap the network
    given = {
        next((key.removeprefix(name) for name in outer if key.startswith(name)), key).replace(".", "_"): value
        for key, value in upstream.state_dict().items()
    }
    state = ours.state_dict()
    missing = [key for key in state if key.replace(".", "_") not in given]
    assert missing == []
    ours.load_state_dict({key: given[key.replace(".", "_")] for key in state})
    with torch.no_grad():
        for stride, fmap in zip(expected, ours(x), strict=True):
            scale = max(1.0, float(expected[stride].abs().max()))
            assert 1e-3 < scale < 1e6
            torch.testing.assert_close(fmap, expected[stride], rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("name", [name for name in TIMM if name not in PLAIN])
def test_maps_are_those_of_timms_feature_network(name: str) -> None:
    import timm

    spec = mmbackbones.get_spec(name)
    arguments = {"features_only": True, **any_size(spec.upstream), **spec.arguments}
    with Draws():
        theirs = timm.create_model(spec.upstream, **arguments)
    with_random_norms(theirs).eval()
    # Windows divide the net's own size, and 32 divides the other, as some originals need.
    size = timm.get_pretrained_cfg(spec.upstream).input_size[1:] if any_size(spec.upstream) else (160, 128)
    x = torch.rand(1, 3, *size)
    with torch.no_grad():
        maps = theirs(x)
    reductions = theirs.feature_info.reduction()
    expected = {stride: fmap for stride, fmap in zip(reductions, maps, strict=True) if stride in PYRAMID}
    if str(getattr(theirs, "output_fmt", "NCHW")).endswith("NHWC"):
        expected = {stride: fmap.permute(0, 3, 1, 2) for stride, fmap in expected.items()}
    assert expected.keys() >= set(spec.strides) & set(PYRAMID)
    check_maps(name, theirs, expected, x)


def any_size(upstream: str) -> dict[str, bool]:
    """timm's word for it, where the network takes only one size without."""
    import timm

    module = timm.models.model_entrypoint(upstream).__module__.rsplit(".", 1)[-1]
    dynamic = ("vision_transformer", "deit", "eva", "swin_transformer", "swin_transformer_v2")
    return {"dynamic_img_size": True} if module in dynamic else {}


@pytest.mark.parametrize("name", PLAIN)
def test_levels_of_a_plain_transformer_are_timms_blocks_without_tokens(name: str) -> None:
    """What enters the learned pyramid: patches only, at their places, with positions for another size."""
    import timm

    spec = mmbackbones.get_spec(name)
    dynamic = any_size(spec.upstream)
    with Draws():
        theirs = timm.create_model(spec.upstream, num_classes=0, **dynamic, **spec.arguments)
    with_random_norms(theirs).eval()
    size = (112, 224) if dynamic or spec.family == "sam" else tuple(theirs.patch_embed.img_size)
    x = torch.rand(1, 3, *size)
    places = [len(theirs.blocks) * (k + 1) // 4 - 1 for k in range(4)]
    with torch.no_grad():
        taps = theirs.forward_intermediates(x, indices=places, intermediates_only=True, output_fmt="NCHW")
    patch = size[0] // taps[0].shape[2]
    ours = blank(name).eval()
    given = theirs.state_dict()
    ours.load_state_dict({k: given.get(k, v) for k, v in ours.state_dict().items()})
    assert [k for k in ours.state_dict() if k not in given and not k.startswith("pyramid.")] == []
    entered: dict[str, Tensor] = {}
    for stride, level in ours.pyramid.items():
        level.register_forward_pre_hook(lambda _, inputs, s=stride: entered.update({s: inputs[0]}))
    with torch.no_grad():
        maps = ours(x)
    assert [tuple(m.shape[2:]) for m in maps] == [(-(-size[0] // s), -(-size[1] // s)) for s in PYRAMID]
    for stride, theirs_map in zip(PYRAMID, taps, strict=True):
        fmap = entered[str(stride)]
        if patch != 16:
            theirs_map = at_stride_16(theirs_map, patch, fmap.shape[-2:])
        scale = max(1.0, float(theirs_map.abs().max()))
        torch.testing.assert_close(fmap, theirs_map, rtol=0, atol=1e-5 * scale)


def at_stride_16(fmap: Tensor, patch: int, cells: torch.Size) -> Tensor:
    """Patches read, bilinearly, at the places ``(i + 0.5) * 16`` of the image; beyond the last one, it."""
    axes = []
    for have, want in zip(fmap.shape[-2:], cells, strict=True):
        axes.append((torch.arange(want) + 0.5) * 16 / (have * patch) * 2 - 1)
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], -1)[None]
    return F.grid_sample(fmap, grid, padding_mode="border", align_corners=False)


@pytest.mark.parametrize("name", TORCHVISION)
def test_maps_are_those_of_torchvisions_nodes(name: str) -> None:
    from torchvision import models
    from torchvision.models.feature_extraction import create_feature_extractor

    spec = mmbackbones.get_spec(name)
    options = {"aux_logits": False, "init_weights": True} if name == "googlenet" else {}
    with Draws():
        theirs = models.get_model(spec.upstream, weights=None, **options)
    with_random_norms(theirs).eval()
    nodes = NODES.get(name, NODES.get(spec.family, "")).split()
    assert nodes, f"{name}: say in NODES where torchvision has its maps"
    x = torch.rand(1, 3, 160, 128)
    with torch.no_grad():
        maps = create_feature_extractor(theirs, nodes)(x)
    pairs = zip(spec.strides[-len(nodes) :], (maps[node] for node in nodes), strict=True)
    check_maps(name, theirs, {stride: fmap for stride, fmap in pairs if stride in PYRAMID}, x)


@functools.cache
def figures(table: Path) -> dict[str, dict[str, str]]:
    """Executed lines of params.csv by what was executed: ``create_model('x')`` and ``models.x()``."""
    with open(table, newline="") as file:
        lines = [line for line in csv.DictReader(file) if line["params_status"] == "executed"]
    return {call.strip(): line for line in lines for call in line["reference_executed"].split(";")}


@pytest.mark.parametrize("name", [name for name in NAMES if mmbackbones.get_spec(name).source != "native"])
def test_parameters_are_the_executed_figure(name: str, shared: Path) -> None:
    """Up to the last tap; of a plain transformer without its pyramid, which timm does not have."""
    spec = mmbackbones.get_spec(name)
    calls = {"timm": f"timm.create_model('{spec.upstream}')", "torchvision": f"torchvision.models.{name}()"}
    line = figures(shared / "reference" / "params.csv").get(calls.get(spec.source, ""))
    if line is None:
        pytest.skip("params.csv has no executed line of this net")
    net = without_values(lambda: mmbackbones.build(name, out_strides=spec.strides))
    count = sum(p.numel() for key, p in net.named_parameters() if not key.startswith("pyramid."))
    behind = 0
    if spec.source == "torchvision":  # the table counts to the classifier, a map may end before it
        from torchvision import models

        with torch.device("meta"):
            whole = models.get_model(spec.upstream, weights=None)
        behind = sum(p.numel() for key, p in whole.named_parameters() if key.startswith("conv5."))
    assert count + behind == int(line["params_to_C5_taps"] or line["params_no_head"])
