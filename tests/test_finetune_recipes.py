"""Recipes by amount of data: which config is taken and why."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config
from recipe_cases import GRADUAL, SHIPPED, read
from typer.testing import CliRunner

from mmbackbones.cli import app, main
from mmbackbones.compose.configs import pipelines
from mmbackbones.engine.train import Results
from mmbackbones.finetune.recipes import RECIPES, TASKS, choose, config_name, find_recipe, recipe_for

BY_AMOUNT = {
    config_name(recipe, task, backbone): recipe
    for recipe in RECIPES
    for task in TASKS
    for backbone in recipe.backbones
}
SMALL = ["--img-scale", "64x64", "--batch-size", "2", "--device", "cpu", "--seed", "0", "--epochs", "1"]


#: For the fixture ``shapes``.
SHAPES = dict(train=4, val=1)


# -- the table ------------------------------------------------------------------------------------


def test_every_recipe_has_its_configs() -> None:
    assert len(BY_AMOUNT) == 10
    extra = {GRADUAL, "finetune/faster-rcnn_dinov2-small_simple-pyramid_1xb4-frozen-24e_coco"}
    assert set(SHIPPED) == BY_AMOUNT.keys() | extra


@pytest.mark.parametrize("name", BY_AMOUNT)
def test_a_config_does_what_its_recipe_says(name: str) -> None:
    cfg = read(name)
    backbone, optim = cfg.model.backbone, cfg.optim_wrapper
    frozen = {key: value for key, value in backbone.items() if key.startswith("frozen")}
    augmented = any(
        node["type"] == "mmbackbones.RandAugment" for pipe in pipelines(cfg, "train") for node in pipe
    )
    kept = {
        "hundreds": {"frozen_stages": 2},
        "thousands": {"frozen_fraction": 1 / 3},
        "tens-of-thousands": {},
    }
    assert frozen == kept[BY_AMOUNT[name].name]
    assert augmented == (BY_AMOUNT[name].name == "tens-of-thousands")
    assert optim.optimizer.type == "AdamW"
    assert optim.optimizer.lr == 1e-4
    assert ("constructor" in optim) == (BY_AMOUNT[name].name == "hundreds")
    assert backbone.init_cfg.type == "Pretrained"
    assert cfg.auto_scale_lr.base_batch_size == cfg.train_dataloader.batch_size  # the rate holds as it is


@pytest.mark.parametrize(
    ("images", "name"),
    [
        (1, "hundreds"),
        (999, "hundreds"),
        (1_000, "thousands"),
        (9_999, "thousands"),
        (10_000, "tens-of-thousands"),
        (10**6, "tens-of-thousands"),
    ],
)
def test_the_number_of_images_chooses(images: int, name: str) -> None:
    assert recipe_for(images) is find_recipe(name)


def test_help_says_the_thresholds() -> None:
    shown = CliRunner(env={"COLUMNS": "250", "TERM": "dumb"}).invoke(app, ["train", "--help"]).output
    text = " ".join(re.sub("[│╭╮╰╯─]", " ", shown).split())
    assert "hundreds (below 1000), thousands (below 10000), tens-of-thousands (more)." in text


def test_auto_counts_the_training_images_and_says_why(shapes: Path, tmp_path: Path) -> None:
    for task, head, rest in (
        ("detection", "faster-rcnn_swin-tiny_fpn_1xb4", "24e_coco"),
        ("segmentation", "upernet_swin-tiny_1xb8", "20k_ade20k-512x512"),
    ):
        config, why = choose("auto", task, shapes, cache_dir=tmp_path)
        assert config == f"finetune/{head}-hundreds-{rest}"
        assert why.startswith("recipe hundreds: 4 training images are fewer than 1000, ")
        assert "frozen" in why
    config, why = choose("thousands", "detection", None, "densenet121", cache_dir=tmp_path)
    assert config == "finetune/faster-rcnn_densenet121_fpn_1xb4-thousands-24e_coco"
    assert why.startswith("recipe thousands, as given: ")
    config, _ = choose("tens-of-thousands", "segmentation", None, "efficientnet_b0", cache_dir=tmp_path)
    assert config == "finetune/deeplabv3plus_efficientnet-b0-d16_1xb8-tens-of-thousands-80k_ade20k-512x512"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Give a CONFIG, or --recipe auto"),
        (["some.py", "--recipe", "auto"], "CONFIG 'some.py' and --recipe auto both"),
        (["some.py", "--task", "detection"], "--task detection belongs to --recipe"),
        (["some.py", "--backbone", "vgg16"], "--backbone vgg16 belongs to --recipe"),
        (["--recipe", "auto"], "--recipe needs a task: give --task detection or --task segmentation"),
        (["--recipe", "auto", "--task", "detection"], "counts the training images: give .* --data"),
        (["--recipe", "auto", "--task", "pose"], "--task 'pose' is unknown"),
        (["--recipe", "few", "--task", "detection"], "'few' is unknown. Allowed: auto, hundreds, thousands"),
        (
            ["--recipe", "thousands", "--task", "detection", "--backbone", "resnet50"],
            "'thousands' has vgg16, densenet121. resnet50 has --recipe tens-of-thousands",
        ),
        (
            ["--recipe", "hundreds", "--task", "detection", "--backbone", "lenet5"],
            r"'hundreds' has swin-tiny. For any other backbone, copy",
        ),
    ],
)
def test_bad_words(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["train", *words])
    assert stop.value.code == 2
    assert re.search(message, capsys.readouterr().err)


def test_the_command_trains_the_recipe(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Config] = []  # that each config trains is tested in test_configs.py

    def seen(cfg: Config, work_dir: Path, **rest: Any) -> Results:
        given.append(cfg)
        return Results({"metrics": work_dir / "metrics.json"}, {}, {}, {})

    monkeypatch.setattr("mmbackbones.engine.train.train", seen)
    words = ["train", "--recipe", "auto", "--task", "segmentation", "--data", str(shapes)]
    main_exits([*words, "--work-dir", str(tmp_path), *SMALL])
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0].startswith("upernet_swin-tiny_1xb8-hundreds-20k_ade20k-512x512 on cpu")
    assert lines[1].startswith("recipe hundreds: 4 training images are fewer than 1000")
    (cfg,) = given
    assert cfg.model.backbone.frozen_stages == 2
    assert cfg.model.decode_head.num_classes == len(cfg.train_dataloader.dataset.metainfo.classes)
    assert cfg.train_cfg.max_iters == 2  # one epoch of 4 images
    assert [path.name for path in tmp_path.iterdir()] == ["data_cache"]  # the data was read once


def main_exits(words: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert not stop.value.code
