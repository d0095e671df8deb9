"""What trains and how fast, in the command and in the log; and the snippets of docs/finetune.md."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import tiny_training as tiny
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import HOOKS, MODELS, init_default_scope
from tiny_training import config
from typer.testing import CliRunner

import mmbackbones
from mmbackbones.cli import app
from mmbackbones.errors import InputError
from mmbackbones.finetune.freeze_report import Part, as_text, freeze_report, report_of_config

DETECTOR = "detection/faster-rcnn_mobilenetv3-large-scratch_fpn_1xb8-8e_coco-160x160"


def run(*args: str) -> str:
    result = CliRunner(env={"COLUMNS": "60", "TERM": "dumb"}).invoke(app, args, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def tiny_model(**backbone: Any) -> torch.nn.Module:
    return MODELS.build(
        dict(type="TinyClassifier", backbone=dict(type=f"mmbackbones.{tiny.NET}", **backbone))
    )


def test_parts_add_up_and_say_what_trains() -> None:
    model = tiny_model(frozen_stages=2)
    net = model.backbone
    parts = {part.name: part for part in freeze_report(model)}
    assert list(parts) == ["backbone stem", *(f"backbone stage {k}" for k in (1, 2, 3, 4)), "head"]
    assert sum(part.params for part in parts.values()) == sum(p.numel() for p in model.parameters())
    for k in range(5):
        part = parts[f"backbone stage {k}" if k else "backbone stem"]
        held = [p for n, p in net.named_parameters() if net.param_stages[n] == k]
        assert part.params == sum(p.numel() for p in held)
        assert part.trainable == (part.params if k > 2 else 0)
        assert part.norms == sum(p.ndim == 1 for p in held) // 2  # all its vectors are of batch norms
        assert part.norms_eval == (0 if k > 2 else part.norms)
    assert parts["head"].norms == 0
    assert parts["head"].groups == set()


def test_norms_are_counted_as_they_are_while_the_model_trains_and_nothing_changes() -> None:
    model = tiny_model(norm_eval=True)
    model.backbone.eval()
    modes = [module.training for module in model.modules()]
    parts = freeze_report(model)
    assert [module.training for module in model.modules()] == modes
    assert not model.backbone.feature_net.net.training
    assert all(part.norms_eval == part.norms for part in parts)
    constant = freeze_report(tiny_model(norm_cfg=dict(type="FrozenBN")))
    assert all(part.norms_eval == part.norms for part in constant)
    assert sum(part.norms for part in constant) == sum(part.norms for part in parts) > 20


def test_norms_with_an_activation_inside_are_counted_once() -> None:
    net = mmbackbones.build("mobilenetv3_small_050", frozen_stages=1)
    norms = sum("running_mean" in key for key in net.state_dict())
    parts = freeze_report(torch.nn.ModuleDict({"backbone": net}))
    assert sum(part.norms for part in parts) == norms
    assert [part.norms_eval for part in parts[:3]] == [parts[0].norms, parts[1].norms, 0]


def test_a_vits_pyramid_is_a_part_of_its_own() -> None:
    model = torch.nn.ModuleDict({"backbone": mmbackbones.build("vit_tiny_patch16_224", frozen_stages=4)})
    parts = {part.name: part for part in freeze_report(model)}
    assert parts["backbone other"].trainable == parts["backbone other"].params > 0
    assert sum(part.trainable for part in parts.values()) == parts["backbone other"].params


def test_rates_are_those_of_the_optimisers_groups_before_warm_up() -> None:
    model = tiny_model(frozen_stages=0)
    cfg = config(Path("unused"))
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    for group in wrapper.param_groups:
        group["initial_lr"], group["lr"] = group["lr"], group["lr"] / 10
    parts = {part.name: part for part in freeze_report(model, wrapper)}
    assert parts["backbone stem"].groups == set()
    lrs = {round(lr, 9) for lr, _ in parts["backbone stage 4"].groups}
    assert lrs == {round(0.01 * 0.8**above, 9) for above in (1, 2)}
    assert {decay for _, decay in parts["backbone stage 4"].groups} == {0, 0.05}
    assert parts["head"].groups == {(0.01, 0.0), (0.01, 0.05)}
    text = as_text(list(parts.values()))
    row = next(line for line in text.splitlines() if "backbone stage 4" in line)
    assert "0.0064 to 0.008" in row
    assert "0 0.05" in row
    assert max(map(len, text.splitlines())) <= 120


def test_what_trains_but_is_in_no_group_is_told() -> None:
    model = tiny_model(frozen_stages=3)
    wrapper = build_optim_wrapper(model.head, dict(optimizer=dict(type="SGD", lr=0.1)))
    parts = {part.name: part for part in freeze_report(model, wrapper)}
    stage = parts["backbone stage 4"]
    assert stage.ungrouped == stage.trainable > 0
    assert parts["head"].ungrouped == 0
    assert f"{stage.trainable:,} never" in as_text([stage])


def test_a_model_of_others_is_reported_by_its_children() -> None:
    parts = freeze_report(torch.nn.ModuleDict({"backbone": torch.nn.Linear(2, 3)}))
    assert parts == [Part("backbone", params=9, trainable=9)]


# -- the command ----------------------------------------------------------------------------------


def test_the_command_shows_a_config_and_nothing_else(tmp_path: Path) -> None:
    """Without reading the weights that it names, and without the GPU that its optimiser is for."""
    path = tmp_path / "config.py"
    path.write_text(
        f"""
default_scope = "mmdet"
model = dict(
    type="TinyClassifier",
    backbone=dict(type="mmbackbones.{tiny.NET}", pretrained="http://localhost:1/no.pth"),
)
optim_wrapper = dict(
    type="AmpOptimWrapper",
    loss_scale="dynamic",
    optimizer=dict(type="SGD", lr=0.25, weight_decay=0.1),
    constructor="mmbackbones.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(decay_rate=0.5, by="stage"),
)
"""
    )
    words = ["freeze-report", str(path), "--cfg-options=model.backbone.frozen_stages=2"]
    found = {part["name"]: part for part in json.loads(run(*words, "--json"))}
    table = run(*words)
    assert set(found) == {"backbone stem", *(f"backbone stage {k}" for k in (1, 2, 3, 4)), "head"}
    for name, part in found.items():
        assert part["frozen"] == (part["params"] if name in FROZEN else 0)
        assert part["trainable"] == part["params"] - part["frozen"]
        assert bool(part["groups"]) == bool(part["trainable"])
        assert re.search(
            rf"^{name} +{part['params']:,} +{part['trainable']:,} +{part['frozen']:,} ", table, re.M
        )
    assert {group["lr"] for group in found["head"]["groups"]} == {0.25}
    assert {group["lr"] for group in found["backbone stage 3"]["groups"]} == {0.0625}
    head, _, *_, last = table.splitlines()
    assert head.startswith("part ")
    assert re.match(rf"all +{sum(part['params'] for part in found.values()):,} ", last)


FROZEN = ("backbone stem", "backbone stage 1", "backbone stage 2")


def test_the_command_shows_a_shipped_config() -> None:
    found = json.loads(run("freeze-report", DETECTOR, "--json"))
    assert {"backbone stem", "backbone stage 4", "neck", "rpn_head", "roi_head"} <= {p["name"] for p in found}


def test_bad_configs_are_refused() -> None:
    with pytest.raises(InputError, match="no config file or name 'resnet'"):
        CliRunner().invoke(app, ["freeze-report", "resnet"], catch_exceptions=False)
    with pytest.raises(InputError, match="frozen_stages=7 is out of range"):
        CliRunner().invoke(
            app,
            ["freeze-report", DETECTOR, "--cfg-options=model.backbone.frozen_stages=7"],
            catch_exceptions=False,
        )
    with pytest.raises(InputError, match="cannot be built.*NoSuchDetector"):
        report_of_config(Config(dict(default_scope="mmdet", model=dict(type="NoSuchDetector"))))


def test_help_has_an_example() -> None:
    assert "Example: mmbackbones freeze-report " in run("freeze-report", "--help")


# -- in a training --------------------------------------------------------------------------------


def test_weights_of_a_file_train_with_freezing_and_layer_decay_and_the_log_says_what(tmp_path: Path) -> None:
    """Offline, in both spellings of pretrained weights; the report is in the log once."""
    source = mmbackbones.build(tiny.NET)
    file = tmp_path / "weights.pth"
    torch.save(source.state_dict(), file)
    state = source.state_dict()
    for number, weights in enumerate(
        (dict(pretrained=str(file)), dict(init_cfg=dict(type="Pretrained", checkpoint=str(file))))
    ):
        cfg = config(tmp_path / str(number), log_level="INFO")
        cfg.model.backbone.update(frozen_stages=2, **weights)
        cfg.train_cfg.max_epochs = 1
        cfg.custom_hooks = [dict(type="Recorder"), dict(type="mmbackbones.FreezeReportHook")]
        runner, _ = tiny.train(cfg)
        net = runner.model.backbone
        assert net.load_report.missing == ()
        frozen = [name for name, stage in net.param_stages.items() if stage <= 2]
        assert all(torch.equal(dict(net.named_parameters())[name], state[name]) for name in frozen)
        moved = [n for n, p in net.named_parameters() if n not in frozen and not torch.equal(p, state[n])]
        assert len(moved) == len(net.param_stages) - len(frozen)
        (log,) = (tmp_path / str(number)).glob("*/*.log")
        text = log.read_text()
        assert text.count("What trains:") == 1
        assert as_text(freeze_report(runner.model, runner.optim_wrapper)) in text
        assert "layer 6: " in text


# -- docs/finetune.md -----------------------------------------------------------------------------


def snippets(root: Path) -> list[str]:
    text = (root / "docs/finetune.md").read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)


def test_the_snippets_of_the_page_build_what_they_say(root: Path, tmp_path: Path) -> None:
    blocks = snippets(root)
    assert len(blocks) >= 4
    kinds = set()
    for number, block in enumerate(blocks):
        path = tmp_path / f"block{number}.py"
        path.write_text(block, encoding="utf-8")
        cfg = Config.fromfile(path)
        init_default_scope("mmdet")
        model = torch.nn.ModuleDict({"backbone": MODELS.build(cfg.model.backbone)})
        build_optim_wrapper(model, cfg.optim_wrapper)
        kinds |= {type(HOOKS.build(hook)).__name__ for hook in cfg.get("custom_hooks", [])}
        kinds.add(cfg.optim_wrapper.get("constructor", ""))
        kinds |= {key for key in cfg.model.backbone if key.startswith("frozen")}
    assert kinds >= {
        "UnfreezeHook",
        "mmbackbones.LayerDecayOptimWrapperConstructor",
        "frozen_stages",
        "frozen_fraction",
    }


def test_the_report_of_the_page_is_what_the_command_prints(root: Path, tmp_path: Path) -> None:
    text = (root / "docs/finetune.md").read_text(encoding="utf-8")
    (words, shown) = re.search(
        r"^\$ mmbackbones (freeze-report [^\n]*)\n(.*?)^```", text, re.M | re.S
    ).groups()
    assert run(*words.replace("--cfg-options ", "--cfg-options=").split()).rstrip() == shown.rstrip()
