"""A value of the wrong kind at a place of the config that is read, and classes that mean two things."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config
from test_compose import main_fails

from mmbackbones.compose.configs import load_config
from mmbackbones.compose.fit import Settings, fit, fit_for_test
from mmbackbones.data.shapes import CLASSES
from mmbackbones.errors import InputError

DETECTOR = "detection/faster-rcnn_mobilenetv3-large-scratch_fpn_1xb8-8e_coco-160x160"
DEEPLAB = "mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb2-80k_cityscapes-512x1024"
METAINFO = "dataset.metainfo.classes"
MALFORMED = {
    **dict.fromkeys(
        [
            *("default_hooks=3", "default_hooks.checkpoint=5", "default_hooks.checkpoint=None"),
            *(
                "default_hooks.timer=3",
                "train_cfg=3",
                "optim_wrapper=3",
                "optim_wrapper.optimizer=3",
                "model=1",
            ),
            *(
                "train_dataloader=None",
                "train_dataloader=3",
                "train_dataloader.dataset=3",
                "model.backbone=3",
            ),
            *(
                "train_dataloader.sampler=3",
                "val_dataloader=3",
                "test_dataloader=3",
                "val_cfg=3",
                "test_cfg=3",
            ),
            *(
                "default_hooks.logger=None",
                "model.data_preprocessor=3",
                "model.test_cfg=3",
                "model.train_cfg=3",
            ),
            *("visualizer=3", "env_cfg=3", "randomness=3", "log_processor=3", "auto_scale_lr=3"),
        ],
        "a dict",
    ),
    **dict.fromkeys(
        [
            *("param_scheduler=7", "param_scheduler=[3]", "val_evaluator=3", "custom_hooks=3"),
            *("custom_hooks=[3]", "visualizer.vis_backends=3", "train_dataloader.dataset.pipeline=3"),
            "train_dataloader.dataset.pipeline=[3]",
        ],
        "list of dicts",
    ),
    **dict.fromkeys(
        [
            *("train_cfg.max_epochs=abc", "train_cfg.max_epochs=0", "train_cfg.val_interval=abc"),
            *(
                "train_dataloader.batch_size=abc",
                "train_dataloader.batch_size=0",
                "val_dataloader.batch_size=x",
            ),
            *("default_hooks.logger.interval=abc", "auto_scale_lr.base_batch_size=abc"),
            "train_dataloader.batch_size=True",
        ],
        "a whole number from 1 on",
    ),
    "default_hooks.checkpoint.interval=abc": "a whole number",
    "train_dataloader.num_workers=-1": "a whole number from 0 on",
    "optim_wrapper.optimizer.lr=abc": "a number",
    "load_from=3": "a path or URL",
}


#: For the fixture ``shapes``.
SHAPES = dict(train=2, val=1)


def fitted(shapes: Path | None, cache: Path, *options: str, config: str = DETECTOR) -> Config:
    cfg = load_config(config)
    fit(cfg, Settings(shapes, epochs=1, img_scale="64x64", options=list(options)), cache_dir=cache)
    return cfg


@pytest.mark.parametrize("option", MALFORMED)
def test_the_message_names_the_option_what_may_stand_there_and_an_example(
    option: str, shapes: Path, tmp_path: Path
) -> None:
    key = option.partition("=")[0]
    said = rf"--cfg-options {key}: {key} is .*must be .*{MALFORMED[option]}.*for example --cfg-options "
    with pytest.raises(InputError, match=said):
        fitted(shapes, tmp_path, option)


def test_each_example_of_a_message_is_taken(shapes: Path, tmp_path: Path) -> None:
    """Those that stand for a value of the user's end in dots, or name a folder or a file."""
    from mmbackbones.compose.places import PLACES

    examples = {place.example for place in PLACES if not place.example.endswith(("...", "DIR"))}
    options = [text.replace('"', "") for text in examples if "..." not in text and ".max_" not in text]
    assert len(options) > 15
    fitted(shapes, tmp_path, *options)


def test_the_command_says_it(shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--data", str(shapes), "--work-dir", str(tmp_path / "work"), "--device", "cpu"]
    assert main_fails(["train", DETECTOR, *words, "--cfg-options", "default_hooks.checkpoint=5"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "--cfg-options default_hooks.checkpoint: default_hooks.checkpoint is 5" in said


def test_a_config_to_test_with_needs_no_training_parts(shapes: Path, tmp_path: Path) -> None:
    cfg = load_config(DETECTOR)
    cfg.train_dataloader = None  # a config that only tests
    fit_for_test(cfg, Settings(shapes), cache_dir=tmp_path)
    with pytest.raises(InputError, match="test_dataloader is 3, but must be a dict or None"):
        fit_for_test(cfg, Settings(shapes, options=["test_dataloader=3"]), cache_dir=tmp_path)
    cfg.test_dataloader = 4
    with pytest.raises(InputError, match="The config: test_dataloader is 4"):
        fit_for_test(cfg, Settings(), cache_dir=tmp_path)


@pytest.mark.parametrize("option", ["custom_hooks=None", "default_hooks.timer=None", "load_from=None"])
def test_none_leaves_out_what_may_be_left_out(option: str, shapes: Path, tmp_path: Path) -> None:
    fitted(shapes, tmp_path, option)


def test_a_whole_float_counts(shapes: Path, tmp_path: Path) -> None:
    """As in mmdet's configs for V3Det, which divide."""
    fitted(shapes, tmp_path, "train_cfg.val_interval=2.0")


# -- one meaning of each class --------------------------------------------------------------------


@pytest.mark.parametrize("config", [DETECTOR, DEEPLAB])
@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_classes_of_one_split_alone_are_refused(
    config: str, part: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """In --data and without it: the configs' own data sets have the classes of their kind."""
    given = f"{part}_dataloader.{METAINFO}=('mine',)"
    data = request.getfixturevalue("shapes") if config == DETECTOR else None
    cfg = load_config(config)
    with pytest.raises(InputError) as error:
        fit(cfg, Settings(data, options=[given]), cache_dir=tmp_path)
    said = str(error.value)
    assert "('mine')" in said
    assert (repr(CLASSES[0]) if data else "'road'") in said
    for each in ("train", "val", "test"):
        assert f"{each}_dataloader.{METAINFO}=..." in said
    assert "num_classes" in said


def test_classes_said_for_all_splits_are_taken(shapes: Path, tmp_path: Path) -> None:
    names = tuple(reversed(CLASSES))
    text = "(" + ",".join(f"'{name}'" for name in names) + ",)"
    options = [f"{part}_dataloader.{METAINFO}={text}" for part in ("train", "val", "test")]
    cfg = fitted(shapes, tmp_path, *options)
    assert tuple(cfg.val_dataloader.dataset.metainfo.classes) == names


def test_more_classes_after_the_trained_ones_keep_their_meaning(shapes: Path, tmp_path: Path) -> None:
    fitted(shapes, tmp_path, f"train_dataloader.{METAINFO}=('{CLASSES[0]}',)")


def test_classes_of_wrapped_and_joined_data_sets_count(tmp_path: Path) -> None:
    cfg = load_config(DETECTOR)
    one = cfg.train_dataloader.dataset
    other = {**one, "metainfo": {"classes": ("mine",)}}
    cfg.train_dataloader.dataset = dict(
        type="RepeatDataset", times=2, dataset=dict(type="ConcatDataset", datasets=[one, other])
    )
    with pytest.raises(InputError, match=r"dataset\.dataset\.datasets\.1 \('mine'\)"):
        fit(cfg, Settings(), cache_dir=tmp_path)
