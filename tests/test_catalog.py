"""The catalog's rows against the networks and against what timm and torchvision say of them."""

import csv
import functools
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torchvision
from cases import NAMES
from torch import Tensor, nn

import mmbackbones
from mmbackbones import InputError
from mmbackbones.catalog import catalog_names
from mmbackbones.catalog.inputs import mean_std_of
from mmbackbones.catalog.row import HALVES, IMAGENET, RAW, as_row, row
from mmbackbones.catalog.rows import ROWS
from mmbackbones.catalog.spec import Spec
from mmbackbones.feature_nets.specs import measured, without_values
from mmbackbones.tracing.cost import Cost, cost


@functools.cache
def found_of(name: str) -> Spec:
    row = mmbackbones.get_spec(name)
    return measured(row.source, row.upstream, row.arguments)


@pytest.mark.parametrize("name", NAMES)
def test_a_row_says_what_the_network_is(name: str) -> None:
    row, found = mmbackbones.get_spec(name), found_of(name)
    inputs = ("mean", "std", "inputs") if found.weights else ()  # without weights nobody says what they took
    for field in ("channels", "has_se", "dilatable", "params", *inputs):
        assert getattr(row, field) == getattr(found, field), field


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_those_of_the_sources_and_the_default_is_theirs(name: str) -> None:
    row, found = mmbackbones.get_spec(name), found_of(name)
    assert row.weights[:1] == found.weights[:1]
    own = [weights for weights in row.weights if weights.startswith(f"{row.source}://")]
    assert set(own) == set(found.weights)
    for weights in set(row.weights) - set(own):
        model, tag = weights.removeprefix("torchvision://").split(".")
        assert tag in torchvision.models.get_model_weights(model).__members__


@pytest.mark.parametrize("row", [row for row in ROWS if row.weights], ids=lambda row: row.name)
def test_mean_and_std_of_all_weights_are_those_of_the_sources(row: Spec) -> None:
    for weights in row.weights:
        source, _, name = weights.partition("://")
        if source == "timm":
            said = timm.get_pretrained_cfg(name)
            assert f"{said.architecture}.{said.tag}" == name
        else:
            model, tag = name.split(".")
            said = torchvision.models.get_model_weights(model)[tag].transforms()
        assert mean_std_of(row, weights) == (tuple(said.mean), tuple(said.std)), weights
    assert set(row.inputs) <= set(row.weights[1:])  # the default's stand in mean and std


def test_mean_and_std_are_known_of_weights_beside_the_catalogs() -> None:
    vit, resnet = mmbackbones.get_spec("vit_base_patch16_224"), mmbackbones.get_spec("resnet18")
    assert mean_std_of(vit, "timm://vit_base_patch16_224") == mean_std_of(vit, None) == (HALVES)
    assert mean_std_of(resnet, "timm://vit_base_patch16_224.mae") == IMAGENET
    assert mean_std_of(resnet, "timm://mobilenetv3_large_100.miil_in21k") == RAW
    assert mean_std_of(vit, "torchvision://vit_b_16.IMAGENET1K_V1") == IMAGENET
    opened = mmbackbones.get_spec("timm:mobilenetv3_large_100")
    assert mean_std_of(opened, "timm://mobilenetv3_large_100.miil_in21k") == RAW
    for unknown in (
        "timm://no_such_net",
        "timm://resnet18.no_such_tag",
        "torchvision://resnet18.V9",
        "a.pth",
    ):
        assert mean_std_of(vit, unknown) == HALVES


#: The networks that a user of the field's textbooks looks for, by the names under which they look.
SOUGHT = """
lenet5 alexnet alexnet_original zfnet overfeat_fast nin vgg{11,13,16,19} vgg{11,13,16,19}_bn
googlenet googlenet_original bn_inception inception_v{3,4} inception_resnet_v{1,2} xception xception{41,65}
resnet{18,34,50,101,152} wide_resnet{50,101}_2 resnext50_32x4d resnext101_32x8d densenet{121,169,201,264}
dpn{68,92,98,131} seresnet{50,101,152} seresnext{50,101}_32x4d senet154 se_inception_resnet_v2 se_bn_inception
cbam_resnet50 attention{56,92} squeezenet1_{0,1} mobilenetv1_{025,050,075,100} mobilenetv2_{050,075,100,140}
mobilenetv3_{large,small}_100 mobilenetv3_{large,small}_minimal mobilenetv4_conv_{small,medium,large}
mobilenetv4_hybrid_{medium,large} mnasnet_{a1,b1} shufflenet_v1_g{1,2,3,4,8} shufflenet_v2_x{0_5,1_0,1_5,2_0}
efficientnet_b{0,1,2,3,4,5,6,7} efficientnet_lite{0,1,2,3,4} efficientnetv2_{s,m,l} ghostnet
regnet{x,y}_{002,004,006,008,016,032,040,064,080,120,160,320}
regnet{x,y}_{200mf,400mf,600mf,800mf,1_6gf,3_2gf,4_0gf,6_4gf,8_0gf,12gf,16gf,32gf}
convnext_{tiny,small,base,large} convnextv2_{atto,femto,pico,nano,tiny,small,base,large,huge}
cspdarknet53 cspdarknet53_tiny darknet53
vit_{tiny,small,base,large} vit_{tiny,small,base,large}_patch16 deit_{tiny,small,base}
deit3_{small,medium,base,large,huge} swin_{tiny,small,base,large} swinv2_{tiny,small,base,large}
dinov2_{small,base,large} dinov2_{small,base,large}_reg4 dinov3_{small,base,large}
dinov3_convnext_{tiny,small,base,large} convnext_{tiny,small,base,large}_dinov3
eva02_{tiny,small,base,large} beit_{base,large} beitv2_{base,large} sam_{base,large,huge}
mobilenetv3_{large,small} resnext{50,101} inceptionv{3,4} squeezenet mobilenetv{1,2}
"""


def spelled_out(text: str) -> list[str]:
    """Names with braces as the shell spells them: ``vgg{11,13}`` is vgg11 and vgg13."""
    parts = (re.split(r"\{(.*?)\}", word) for word in text.split())
    choices = ([piece.split(",") if i % 2 else [piece] for i, piece in enumerate(word)] for word in parts)
    return ["".join(pieces) for word in choices for pieces in itertools.product(*word)]


def test_every_network_that_is_looked_for_has_a_name() -> None:
    sought = spelled_out(SOUGHT)
    assert len(sought) > 200
    assert set(sought) <= set(catalog_names()), set(sought) - set(catalog_names())


def test_names_and_aliases_are_unique_and_lead_to_one_row() -> None:
    names = [name for row in ROWS for name in (row.name, *row.aliases)]
    assert len(names) == len(set(names)) == len(catalog_names())
    assert mmbackbones.get_spec("swin_tiny") is mmbackbones.get_spec("swin_tiny_patch4_window7_224")


def test_weights_of_dinov3_are_the_default_where_the_name_says_so() -> None:
    assert mmbackbones.get_spec("dinov3_convnext_tiny").weights == ("timm://convnext_tiny.dinov3_lvd1689m",)
    assert "timm://convnext_tiny.dinov3_lvd1689m" in mmbackbones.get_spec("convnext_tiny").weights
    assert mmbackbones.get_spec("timm:resnet18.a2_in1k").weights == ("timm://resnet18.a2_in1k",)


@pytest.mark.parametrize("name", NAMES)
def test_cost_and_kind_are_those_of_the_network(name: str) -> None:
    spec = mmbackbones.get_spec(name)
    net = without_values(lambda: mmbackbones.build(name, out_strides=spec.strides))
    counted = cost(net, len(spec.mean))
    assert spec.gflops == float(f"{counted.madds / 1e9:.4g}")
    assert spec.kind == counted.kind


class Attention(nn.Module):
    """Each cell of a map looks at all others: two products of activations."""

    def forward(self, x: Tensor) -> Tensor:
        cells = x.flatten(2)
        return (cells @ (cells.transpose(1, 2) @ cells)).view_as(x)


def test_cost_counts_multiply_adds_and_tells_the_kind() -> None:
    patches = nn.Conv2d(3, 4, 8, 8)  # its windows do not overlap
    conv = nn.Conv2d(4, 4, 3, padding=1)
    at_patches, at_conv, at_attention = 4 * 4 * 4 * 3 * 64, 4 * 4 * 4 * 4 * 9, 2 * 4 * 16 * 16

    def counted(*layers: nn.Module) -> Cost:
        return cost(nn.Sequential(*layers, nn.BatchNorm2d(4), nn.ReLU()), 3, (32, 32))

    assert counted(patches) == Cost(at_patches, "mlp")
    assert counted(patches, conv) == Cost(at_patches + at_conv, "cnn")
    assert counted(patches, Attention()) == Cost(at_patches + at_attention, "transformer")
    blocks = [Attention() for _ in range(4)]
    assert counted(patches, *blocks, conv) == Cost(at_patches + 4 * at_attention + at_conv, "hybrid")
    assert counted(patches, *blocks, Attention(), conv).kind == "transformer"


def test_every_row_has_all_facts() -> None:
    for spec in ROWS:
        assert spec.gflops > 0, spec.name
        assert spec.params > 0, spec.name
        assert spec.kind in ("cnn", "transformer", "hybrid"), spec.name
        assert spec.paper, spec.name
        assert 1998 <= spec.year <= 2026, spec.name
        assert spec.tasks[0] == "classification", spec.name


def quoted_lines(shared: Path) -> list[tuple[Spec, dict[str, str]]]:
    """Rows with their line of params.csv, if that was executed on the same network of timm."""
    with open(shared / "reference" / "params.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    found = []
    for spec in ROWS:
        call = f"create_model('{spec.upstream}')"
        quoted = [line for line in lines if call in line["reference_executed"]]
        plain = len(set(spec.channels.values())) == 1  # its pyramid comes on top
        if quoted and quoted[0]["params_to_C5_taps"] and not plain:
            found.append((spec, quoted[0]))
    return found


def test_figures_agree_with_the_reference_table(shared: Path) -> None:
    """Rows of params.csv that were executed: parameters to the C5 tap and channels at each stride."""
    quoted = quoted_lines(shared)
    assert len(quoted) > len(ROWS) / 3
    for spec, line in quoted:
        assert spec.params == int(line["params_to_C5_taps"]), spec.name
        for column, stride in (("C2_s4", 4), ("C3_s8", 8), ("C4_s16", 16), ("C5_s32", 32)):
            assert spec.channels[stride] == int(line[column]), (spec.name, column)


def test_gflops_agree_with_the_reference_table(shared: Path) -> None:
    """Executed multiply-adds of the whole network at 224 x 224, where only linear layers follow C5.

    These do one multiply-add for each of their weights.
    """
    compared = 0
    for spec, line in quoted_lines(shared):
        executed = line["madds_status"] == "executed" and line["madds_input"] == "224"
        if not executed or line["params_no_head"] != line["params_to_C5_taps"]:
            continue
        head = int(line["params_total"]) - int(line["params_no_head"])
        whole = float(line["madds_M"]) * 1e6
        assert spec.gflops * 1e9 + head == pytest.approx(whole, rel=1e-3), spec.name
        compared += 1
    assert compared > 50


def test_a_spec_turns_into_the_row_that_gives_it() -> None:
    for spec in ROWS:
        assert eval(as_row(spec).strip().rstrip(","), {"row": row}) == spec  # noqa: S307


def test_the_row_of_the_docs_put_into_the_catalog_builds(root: Path, tmp_path: Path) -> None:
    """One row and no other file: the package is copied, the row of the worked example is written into it."""
    text = (root / "docs/add-a-backbone.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^```text\n(    row\(.*?)^```", text, re.M | re.S)
    package = tmp_path / "mmbackbones"
    for folder, inside in (("plugin", ""), ("necks", "necks"), ("configs", "configs")):
        shutil.copytree(root / folder, package / inside, ignore=shutil.ignore_patterns("__pycache__"))
    rows = package / "catalog" / "classic.py"
    rows.write_text(rows.read_text(encoding="utf-8").rstrip().removesuffix(")") + line + ")\n")
    code = """
import json, mmbackbones
from mmbackbones.feature_nets.specs import measured, without_values
from mmbackbones.tracing.cost import cost
from mmbackbones.registry import MODELS
name = "res2net50_26w_4s"
assert mmbackbones.list_backbones(family="res2net") == [name]
row, found = mmbackbones.get_spec(name), measured("timm", name, {})
fields = "channels has_se dilatable params mean std weights".split()
print(json.dumps([f for f in fields if getattr(row, f) != getattr(found, f)]))
net = MODELS.build(dict(mmbackbones.pair(name)["backbone"]))
assert net.out_channels == (256, 512, 1024, 2048)
print(json.dumps([row.gflops, row.kind, cost(net, 3).madds / 1e9, mmbackbones.__file__]))
"""
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    differing, (gflops, kind, counted, file) = map(json.loads, done.stdout.splitlines())
    assert differing == []
    assert gflops == float(f"{counted:.4g}")
    assert kind == "cnn"
    assert Path(file).is_relative_to(tmp_path)


def test_a_type_that_nobody_registered_gets_the_nearest_names() -> None:
    from mmengine.registry import MODELS

    with pytest.raises(InputError, match="mmbackbones.resnet5.*resnet50"):
        MODELS.build({"type": "mmbackbones.resnet5"})
    with pytest.raises(InputError, match="Did you mean 'frozen_stages'"):
        MODELS.build({"type": "mmbackbones.resnet18", "frozen_stage": 1})


def test_open_names_are_types_too() -> None:
    from mmengine.registry import MODELS

    assert MODELS.build({"type": "mmbackbones.timm:resnet18d"}).out_channels == (64, 128, 256, 512)
    assert MODELS.build({"type": "mmbackbones.swin_tiny"}).out_channels == (96, 192, 384, 768)
    assert MODELS.build({"type": "mmbackbones.Backbone", "name": "resnet18"}).out_strides == (4, 8, 16, 32)


def test_a_net_without_batch_norm_is_named_when_norm_cfg_is_refused() -> None:
    with pytest.raises(InputError, match="^'alexnet_original' has no batch norm.*Leave norm_cfg out"):
        mmbackbones.build("alexnet_original", norm_cfg={"type": "SyncBN"})
