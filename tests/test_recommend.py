"""``mmbackbones recommend``: evidence, limits, data, latency, and what is refused."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config
from test_compose import main_fails, main_ok

import mmbackbones
from mmbackbones import InputError, get_spec, recommend
from mmbackbones.advisor import latency
from mmbackbones.catalog.selection import TASKS, choices, scenes_of
from mmbackbones.compose.configs import find_config
from mmbackbones.engine.train import Results

#: For the fixture ``shapes``.
SHAPES = dict(train=4, val=1, size=(64, 64))
SCENES = [(task, scene) for task in TASKS[:3] for scene in scenes_of(task)]


# -- the answer -----------------------------------------------------------------------------------


def test_the_plain_answer_imports_no_torch() -> None:
    code = """
import sys
from mmbackbones.cli import main
try:
    main(["recommend", "--task", "detection", "--scene", "edge-int8", "--max-params", "3M", "--top", "1"])
except SystemExit as done:
    assert not done.code
print([name for name in ("torch", "timm", "torchvision") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "[]"
    assert lines[0] == "1. SSDLite with mobilenetv3_large_minimal_100"
    assert "   why       table of detection, edge-int8" in lines
    config = "detection/ssdlite_mobilenetv3-large-minimal_8xb24-600e_coco"
    assert f"   train     mmbackbones train {config} --data DIR" in lines


@pytest.mark.parametrize(("task", "scene"), SCENES)
def test_a_scene_gives_its_rows_in_their_order_with_evidence_and_command(task: str, scene: str) -> None:
    rows = [each for each in choices() if (each.task, each.scene) == (task, scene)]
    answers = recommend(task, scene=scene, top=99)
    assert [answer.config for answer in answers] == [row.config for row in rows]
    for row, answer in zip(rows, answers, strict=True):
        assert answer.evidence[0] == f"table of {task}, {scene}"
        assert (answer.model, answer.backbone) == (row.model, row.backbone.name)
        (command,) = answer.commands
        assert shlex.split(command) == ["mmbackbones", "train", row.config, "--data", "DIR"]
        assert find_config(row.config).is_file()
        if ":" not in answer.backbone:
            spec = get_spec(answer.backbone)
            assert (answer.params, answer.gflops) == (spec.params, spec.gflops)


def test_without_a_scene_the_most_accurate_comes_first() -> None:
    for task in TASKS[:3]:
        (first,) = recommend(task, top=1)
        assert first.config == next(each.config for each in choices() if each.task == task)


def test_a_shipped_record_is_named_where_it_was_measured() -> None:
    (answer,) = recommend("detection", scene="edge-int8", top=1)
    (line,) = [line for line in answer.evidence if line.startswith("measured")]
    assert line.startswith(
        "measured: box AP 36.4, 1. of 2 nets of ssdlite on BCCD from random weights (docs/"
    )


def test_few_images_bring_the_recipe_for_them() -> None:
    (first, *_) = recommend("detection", images=300)
    assert first.config == "finetune/faster-rcnn_swin-tiny_fpn_1xb4-hundreds-24e_coco"
    assert "300 training images, too few to learn edges" in first.evidence[0]
    both = recommend("finetune", images=5_000, top=9)
    assert {"thousands" in answer.config for answer in both} == {True}
    assert {answer.model for answer in both} == {"faster-rcnn", "deeplabv3plus"}


def test_the_command_that_is_named_trains(
    shapes: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As a user copies it; that each config trains is tested in test_configs.py."""
    given: list[Config] = []

    def seen(cfg: Config, work_dir: Path, **rest: Any) -> Results:
        given.append(cfg)
        return Results({"metrics": work_dir / "metrics.json"}, {}, {}, {})

    monkeypatch.setattr("mmbackbones.engine.train.train", seen)
    monkeypatch.chdir(tmp_path)
    for task, extra in (("detection", ["--scene", "mobile"]), ("instance", []), ("segmentation", [])):
        main_ok(["recommend", "--task", task, "--data", str(shapes), *extra, "--top", "1", "--json"])
        (answer,) = json.loads(capsys.readouterr().out)
        (command,) = answer["commands"]
        main_ok(shlex.split(command)[1:])
        capsys.readouterr()
        assert given[-1].filename.endswith(f"{answer['config']}.py")
        assert str(shapes) in str(given[-1].train_dataloader)


# -- limits ---------------------------------------------------------------------------------------


def test_limits_filter_and_keep_the_order() -> None:
    every = [answer.config for answer in recommend("detection", top=99)]
    limited = recommend(
        "detection", max_params="20M", max_gflops=1, no_se=True, license="apache-2.0,mit", top=99
    )
    for answer in limited:
        assert answer.params <= 20e6
        assert answer.gflops <= 1
        assert not get_spec(answer.backbone).has_se
        assert answer.licence in ("apache-2.0", "mit", "")  # random weights have none
    left = [answer.config for answer in limited]
    assert left == [config for config in every if config in left]
    assert 0 < len(left) < len(every)


@pytest.mark.parametrize(
    ("task", "wanted", "advice"),
    [
        ("detection", dict(scene="mobile", max_params="100K"), r"--max-params 0.777M \(676 % more\)"),
        ("instance", dict(max_gflops=3.9), r"--max-gflops 3.98 \(2 % more\)"),
        ("segmentation", dict(scene="realtime", license="mit"), "--license mit,apache-2.0"),
        (
            "segmentation",
            dict(scene="accuracy", max_params="19M", license="apache-2.0"),
            r"--max-params 23.6M \(24 % more\) and --license apache-2.0,unstated",
        ),
    ],
)
def test_nothing_left_names_the_cheapest_limit_to_relax(task: str, wanted: dict, advice: str) -> None:
    with pytest.raises(InputError, match=f"Nothing is left of the .* choices for {task}.*{advice}") as caught:
        recommend(task, **wanted)
    said = str(caught.value)
    words = {"--max-params": "max_params", "--max-gflops": "max_gflops", "--license": "license"}
    relaxed = {words[option]: value for option, value in re.findall(r"(--[\w-]+) ([\w.,-]+)", said)}
    relaxed = {key: float(value) if key == "max_gflops" else value for key, value in relaxed.items()}
    (first, *_) = recommend(task, **{**wanted, **relaxed})  # what is said lets that one in
    assert f"with {first.backbone} in." in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--task", "detecion"], "--task 'detecion' is unknown. Did you mean 'detection'"),
        (["--task", "detection", "--scene", "mobil"], "--scene 'mobil' is unknown. Did you mean 'mobile'"),
        (["--task", "detection", "--scene", "realtime"], "none for --task detection, which has accuracy, .*"),
        (["--task", "finetune", "--scene", "server"], "fine-tuning goes by the amount of images"),
        (["--task", "finetune"], "give --images N, or --data DIR"),
        (["--task", "detection", "--images", "0"], "--images 0 must be a whole number from 1"),
        (["--task", "detection", "--images", "-3"], "--images -3 must be a whole number from 1"),
        (["--task", "detection", "--images", "9", "--data", "x"], "--images 9 and --data x both say"),
        (["--task", "detection", "--data", "missing"], "There is no folder 'missing'"),
        (["--task", "detection", "--max-params", "-1"], "max_params='-1' is no size"),
        (["--task", "detection", "--max-params", "0"], "--max-params 0 must be above 0"),
        (["--task", "detection", "--max-gflops", "-2"], "--max-gflops -2 must be above 0"),
        (["--task", "detection", "--max-latency", "nan"], "--max-latency nan must be above 0"),
        (["--task", "detection", "--img-scale", "64x64"], "for measuring latency: give --max-latency"),
        (["--task", "detection", "--device", "cpu"], "for measuring latency: give --max-latency"),
        (["--task", "detection", "--max-latency", "9", "--img-scale", "big"], "'big' is not WIDTHxHEIGHT"),
        (["--task", "detection", "--license", "apache"], "Did you mean 'apache-2.0'.*unstated: torchvision"),
        (["--task", "detection", "--license", ""], "--license '': name one of"),
        (["--task", "detection", "--top", "0"], "--top 0 must be 1 or more"),
        (["--task", "detection", "--records", "missing"], "--records missing: there is no such folder"),
    ],
)
def test_bad_words(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main_fails(["recommend", *words]) == 2
    assert re.search(message, capsys.readouterr().err)


# -- data -----------------------------------------------------------------------------------------


def test_the_data_is_counted_and_left_as_it_is(shapes: Path) -> None:
    before = sorted(path for path in shapes.rglob("*"))
    (first,) = recommend("detection", data=shapes, top=1)
    assert "4 training images" in first.evidence[0]
    assert first.commands == (f"mmbackbones train {first.config} --data {shapes}",)
    (tuned, *others) = recommend("finetune", data=shapes, top=9)
    assert tuned.config == first.config
    assert others == []  # the folder is read as boxes, so no segmentor is named
    assert sorted(path for path in shapes.rglob("*")) == before


def test_masks_are_asked_of_data_without_any(shapes: Path, tmp_path: Path) -> None:
    for path in shapes.glob("*.json"):
        content = json.loads(path.read_text())
        for entry in content["annotations"]:
            del entry["segmentation"]
        (tmp_path / path.name).write_text(json.dumps(content))
    (tmp_path / "images").symlink_to(shapes / "images")
    with pytest.raises(InputError, match="no instance masks for all objects.*give --task detection"):
        recommend("instance", data=tmp_path)


# -- latency --------------------------------------------------------------------------------------


def test_latency_is_measured_here_and_only_when_it_is_asked_for() -> None:
    (answer,) = recommend(
        "segmentation", scene="realtime", max_latency=1e6, img_scale="64x64", device="cpu", top=1
    )
    assert answer.latency_ms is not None
    assert 0.1 < answer.latency_ms < 1e5
    assert answer.commands[0].endswith("--data DIR --img-scale 64x64")
    assert recommend("segmentation", scene="realtime", top=1)[0].latency_ms is None


def test_latency_filters_as_the_other_limits_do(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def slow(model: str, backbone: str, config: str, *_: Any) -> float:
        asked.append(config)
        return get_spec(backbone).gflops * 1e3

    monkeypatch.setattr(latency, "measure", slow)
    (answer,) = recommend("segmentation", scene="realtime", max_latency=200, top=1)
    assert answer.backbone == "shufflenet_v2_x1_0"
    assert len(asked) == 2  # the first was too slow, and behind the second nobody asks
    with pytest.raises(
        InputError, match=r"--max-latency \d+ \(\d+ % more\) lets BiSeNet with shufflenet"
    ) as it:
        recommend("segmentation", scene="realtime", max_latency=100)
    count = sum((each.task, each.scene) == ("segmentation", "realtime") for each in choices())
    assert f"{count} choices" in str(it.value)
    asked.clear()
    with pytest.raises(InputError, match="--max-params"):  # nothing is measured that other limits exclude
        recommend("segmentation", scene="realtime", max_latency=100, max_params=1000)
    assert asked == []


def test_the_public_name_is_the_same() -> None:
    assert mmbackbones.recommend is recommend
    assert "recommend" in mmbackbones.__all__
