"""``mmbackbones list`` and ``mmbackbones info``."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from mmengine.config import Config
from typer.testing import CliRunner

from mmbackbones import build, get_spec, list_backbones
from mmbackbones.catalog.row import row
from mmbackbones.cli import app
from mmbackbones.cli.catalog_commands import counted
from mmbackbones.errors import InputError
from mmbackbones.feature_nets.specs import without_values

# one of each kind: residual, SE, dense, window attention, plain transformer, few strides, written here
KINDS = (
    "resnet18",
    "mobilenetv3_small_100",
    "densenet121",
    "swin_tiny_patch4_window7_224",
    "vit_tiny_patch16_224",
    "squeezenet1_1",
    "shufflenet_v2_x0_5",
    "mobilenetv1_025",
)


def run(*args: str) -> str:
    result = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, args, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def names(*args: str) -> list[str]:
    return [entry["name"] for entry in json.loads(run("list", "--json", *args))]


def test_list_shows_the_whole_catalog() -> None:
    assert names() == list_backbones()
    table = run("list")
    assert all(name in table for name in list_backbones())


def test_list_filters() -> None:
    assert set(names("resnet")) >= {"resnet18", "resnet50"}
    assert names("resnet5?") == ["resnet50"]
    assert all(not get_spec(name).has_se for name in names("--se-free"))
    assert "efficientnet_b0" in set(names()) - set(names("--se-free"))
    assert "swin_tiny_patch4_window7_224" in set(names()) - set(names("--dilatable"))
    family = get_spec("vgg16").family
    assert names("--family", family) == [n for n in list_backbones() if get_spec(n).family == family]


@pytest.mark.parametrize(
    ("options", "keywords"),
    [
        (["--kind", "transformer", "--max-gflops", "5"], {"kind": "transformer", "max_gflops": 5}),
        (["--task", "detection", "--max-params", "3M"], {"task": "detection", "max_params": "3M"}),
        (["--strides", "2,4,32", "--min-params", "50M"], {"strides": (2, 4, 32), "min_params": 50e6}),
        (["--has-weights", "--se-free", "--dilatable"], dict(has_weights=True, has_se=False, dilatable=True)),
    ],
)
def test_options_of_list_are_keywords_of_list_backbones(options: list[str], keywords: dict) -> None:
    assert names(*options) == list_backbones(**keywords)
    assert 0 < len(names(*options)) < len(names())


def test_no_name_is_cut_at_80_columns() -> None:
    table = CliRunner(env={"COLUMNS": "80", "TERM": "dumb"}).invoke(app, ["list"]).output
    assert max(map(len, table.splitlines())) <= 80
    assert {line.split()[0] for line in table.splitlines() if line.split()} >= set(list_backbones())


def test_list_as_markdown() -> None:
    head, rule, *rows = run("list", "resnet50", "--markdown").splitlines()
    assert head == "| name | C2 C3 C4 C5 | params | GFLOPs | SE | dilates | kind | weights | year | paper |"
    assert set(rule) == set("|- ")
    (row,) = [row for row in rows if row.startswith("| resnet50 | ")]
    more = len(get_spec("resnet50").weights) - 1
    cells = f"256 512 1024 2048 | 23.5M | 4.087 |  | yes | cnn | a1_in1k +{more} | 2015 | 1512.03385"
    assert row == f"| resnet50 | {cells} |"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["list", "resnat50"], "fits 'resnat50'.*resnet50"),
        (["list", "--family", "resnt"], "has family 'resnt'. Did you mean 'resnet'"),
        (["list", "--kind", "rnn"], "has kind 'rnn'.*Allowed: cnn, hybrid, transformer"),
        (["list", "--strides", "four"], "--strides four: write pixels as 4,8,16,32"),
        (["list", "--max-params", "small"], "max_params='small' is no size"),
        (["list", "vgg*", "--max-params", "1M"], "Of the 8 backbones that fit 'vgg.', none fits all"),
        (["list", "--kind", "hybrid", "--dilatable"], "Of all backbones, none fits all of the options"),
        (["info", "resnat50"], "resnat50.*resnet50"),
        (["info", "resnet50", "--input-size", "big"], "--input-size big: write pixels as 224"),
        (["info", "resnet50", "--input-size", "32"], "64 pixels or more"),
    ],
)
def test_bad_input(args: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        CliRunner().invoke(app, args, catch_exceptions=False)


# Published: torchvision counts 25,557,032 parameters (2,049,000 of them the classifier) and 4.09
# GFLOPs (2,048,000 of them the classifier) for ResNet-50 at 224x224.
def test_info_of_resnet50() -> None:
    facts = json.loads(run("info", "resnet50", "--json"))
    assert facts["parameters"] == 25_557_032 - 2_049_000
    assert facts["flops"] == pytest.approx(4.09e9 - 2.048e6, rel=2e-3)
    assert [facts["channels"][str(s)] for s in (4, 8, 16, 32)] == [256, 512, 1024, 2048]
    assert facts["map_sizes"][-1] == [7, 7]
    assert not facts["has_se"]
    assert facts["dilatable"]
    assert facts["weights"] == list(get_spec("resnet50").weights)


def test_flops_grow_with_the_image() -> None:
    small, large = (
        json.loads(run("info", "resnet18", "--json", "--input-size", s)) for s in ("64", "64x128")
    )
    assert large["flops"] == pytest.approx(2 * small["flops"], rel=0.01)
    assert large["map_sizes"][-1] == [2, 4]


def test_families() -> None:
    head, _, *rows = run("list", "--families", "--markdown").splitlines()
    assert head == "| family | backbones | params | GFLOPs | year | paper |"
    assert len(rows) == len({get_spec(name).family for name in list_backbones()})
    cells = [row.strip("| ").split(" | ") for row in rows]
    vgg = next(line for line in cells if line[0] == "vgg")
    assert vgg[2:] == ["9.2M to 20.0M", "7.485 to 19.51", "2014", "1409.1556"]
    assert sorted(name for row in cells for name in row[1].split()) == list_backbones()
    assert "resnet18" in run("list", "--families", "resnet*")


@pytest.mark.parametrize("name", KINDS)
def test_info_agrees_with_the_net(name: str) -> None:
    facts = json.loads(run("info", name, "--json"))
    flops, kind = counted(name, (224, 224))
    assert facts["flops"] == pytest.approx(flops, rel=5e-4)  # four digits
    assert facts["kind"] == kind
    net = without_values(lambda: build(name, out_strides=get_spec(name).strides))
    assert facts["parameters"] == sum(param.numel() for param in net.parameters() if param.requires_grad) > 0
    maps = net.to("meta").eval()(torch.empty(1, net.in_channels, 224, 224, device="meta"))
    assert facts["map_sizes"] == [list(fmap.shape[2:]) for fmap in maps]
    model = Config.fromstring(facts["config"], ".py").model
    assert model.backbone.type == f"mmbackbones.{name}"
    channels = [facts["channels"].get(str(s)) for s in (4, 8, 16, 32)]
    assert model.neck.in_channels == [c for c in channels if c]
    assert model.backbone._delete_
    assert model.neck._delete_


def test_info_outside_the_catalog() -> None:
    facts = json.loads(run("info", "torchvision:regnet_y_400mf", "--json"))  # cannot start on the meta device
    assert facts["flops"] == pytest.approx(0.402e9, rel=0.02)  # as torchvision publishes
    assert "name='torchvision:regnet_y_400mf'" in facts["config"]
    assert facts["kind"] == "cnn"
    assert "gflops" not in facts  # of the catalog only


def test_info_prints_the_row_of_a_net() -> None:
    (found,) = eval(f"({run('info', 'timm:resnet18', '--row')})", {"row": row})  # noqa: S307
    ours = get_spec("resnet18")
    weights = tuple(address for address in ours.weights if address.startswith("timm://"))
    assert found == replace(ours, paper="", year=0, weights=weights)
    (found,) = eval(f"({run('info', 'swin_tiny', '--row')})", {"row": row})  # noqa: S307
    assert found == get_spec("swin_tiny")


def test_info_page() -> None:
    page = run("info", "mobilenetv3_large_100", "--input-size", "320")
    assert "miil_in21k (mean [0.0, 0.0, 0.0], std [1.0, 1.0, 1.0])" in " ".join(page.split())
    for part in ("C2", "C5", "320x320", "multiply-adds", "SE modules", "yes", "in_channels=[", "timm://"):
        assert part in page, part


@pytest.mark.parametrize("command", ["list", "info"])
def test_help_has_an_example(command: str) -> None:
    assert f"Example: mmbackbones {command} " in run(command, "--help")
