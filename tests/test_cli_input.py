"""Bad input at the command line: one red message that says what to do, status 2, no traceback."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from mmbackbones.cli import app, main
from mmbackbones.compose.configs import load_config
from mmbackbones.data.shapes import CLASSES

DETECTOR = "detection/faster-rcnn_mobilenetv3-large-scratch_fpn_1xb8-8e_coco-160x160"
COMMANDS = ["train", "test", "predict", "demo", "list", "info"]


#: For the fixture ``shapes``.
SHAPES = dict(train=2, val=1)


@pytest.fixture
def message(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Runs the command and returns its error message."""
    monkeypatch.chdir(tmp_path)

    def error_of(*words: object) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        shown = capsys.readouterr()
        assert end.value.code == 2, shown
        assert "Traceback" not in shown.err + shown.out
        return shown.err.replace(" (env var: 'None')", "")  # of typer before 0.26 with click since 8.2

    return error_of


# -- help -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command: str) -> None:
    result = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert f"Example: mmbackbones {command}" in result.output


def test_help_imports_no_torch() -> None:
    code = (
        "import sys\nfrom mmbackbones.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert all(command in done.stdout for command in COMMANDS)


# -- configs --------------------------------------------------------------------------------------


def test_unknown_config_name(message) -> None:
    said = message("train", "detection/faster-rcnn_resnet50_fpn_1x_cocoo")
    assert "no config file or name" in said
    assert "Nearest names: detection/faster-rcnn_resnet50_fpn_1x_coco" in said
    assert "mmdet::" in message("train", "retinanet_r50_fpn_1x_coc")
    assert "no package 'mmpose'" in message("train", "mmpose::something")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model = dict(", "cannot be read: SyntaxError"),
        ("_base_ = ['missing.py']\nmodel = {}", "cannot be read: "),
        ("model = dict(type=unknown_name)", "cannot be read: "),
        ("x = 1", "has no `model = dict(type=...)`"),
        ("model = dict(type='TopdownPoseEstimator')\ndefault_scope = 'mmpose'", "is for 'mmpose'"),
    ],
)
def test_unreadable_and_foreign_configs(text: str, expected: str, message, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    said = message("train", path)
    assert expected in said
    assert "mine.py" in said


def test_a_config_with_an_unknown_type(message, shapes: Path, tmp_path: Path) -> None:
    said = message(
        "train", DETECTOR, "--data", shapes, "--device", "cpu", "--cfg-options", "model.backbone.type=ResNot"
    )
    assert "cannot be built" in said
    assert "ResNot" in said


# -- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--epochs", "x"], "Invalid value for '--epochs': 'x'"),
        (["--ignore-label", "3", "--ignore-label=x"], "Invalid value for '--ignore-label': '3', 'x'"),
        (["--seed", "-1"], "--seed -1: a seed is a whole number from 0 to 4294967295"),
        (["--img-scale", "99999x99999"], "both >= 32 and <= 32766"),
        (["--img-scale", "640"], "--img-scale '640' is not WIDTHxHEIGHT"),
        (["--batch-size", "0"], "--batch-size 0: at least 1 image"),
        (["--epochs", "0"], "--epochs 0: at least 1 epoch"),
        (["--cfg-options", "nonsense"], "--cfg-options 'nonsense' is not key=value"),
        (["--cfg-options", "optim_wraper.optimizer.lr=1"], "Nearest: optim_wrapper"),
        (["--device", "gpu"], "--device 'gpu' is no device"),
        (["--device", "cuda:99"], "--device cuda:99 is not available"),
        (["--device", "mps"], "--device mps is not supported"),
        (["--device", "cpu", "--amp", "fp16"], "--amp fp16 needs a CUDA device: its loss scaling has no CPU"),
        (["--amp", "half"], "--amp 'half' is unknown; use one of auto, bf16, fp16"),
        (["--launcher", "slurm"], "--launcher 'slurm' is not supported"),
        (["--launcher", "pytorch"], "--launcher pytorch needs torchrun"),
        (["--resume"], "holds no checkpoint yet"),
        (["--resume", "gone.pth"], "--resume: there is no checkpoint file gone.pth"),
    ],
)
def test_bad_options(words: list[str], expected: str, message, shapes: Path, monkeypatch) -> None:
    for name in ("WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert expected in message("train", DETECTOR, "--data", shapes, *words)
    assert not Path("work_dirs").exists(), "refused before anything is made"


def test_what_is_not_given(message) -> None:
    assert "Missing argument 'CONFIG'" in message("test")
    assert "Missing argument 'CHECKPOINT'" in message("test", DETECTOR)


def test_the_configs_own_data_is_not_there(message) -> None:
    said = message("train", DETECTOR, "--device", "cpu")
    assert "A file of the data is missing" in said
    assert "instances_train2017.json" in said
    assert "--data" in said


def test_a_folder_that_is_no_data_set(message, tmp_path: Path) -> None:
    assert "is not recognised as a data set for detection" in message(
        "train", DETECTOR, "--data", tmp_path, "--work-dir", tmp_path / "work"
    )
    assert not (tmp_path / "work").exists()


# -- the work dir ---------------------------------------------------------------------------------


def test_a_work_dir_below_a_file(message, shapes: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = message("train", DETECTOR, "--data", shapes, "--work-dir", tmp_path / "file" / "work")
    assert "--work-dir" in said
    assert "cannot be written" in said
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    said = message("train", DETECTOR, "--data", shapes, "--work-dir", tmp_path / "link")
    assert "cannot be written: No such file or directory" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_work_dir_without_the_right_to_write(message, shapes: Path, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    said = message("train", DETECTOR, "--data", shapes, "--work-dir", tmp_path / "locked")
    assert "cannot be written" in said


def test_no_space_in_the_work_dir(message, shapes: Path, tmp_path: Path, monkeypatch) -> None:
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("mmbackbones.engine.work_dir.tempfile.TemporaryFile", full)
    said = message("train", DETECTOR, "--data", shapes, "--work-dir", tmp_path / "work")
    assert "cannot be written: No space left on device" in said


def test_no_space_while_training(message, shapes: Path, tmp_path: Path, monkeypatch) -> None:
    import mmengine.runner.runner as mmengine_runner

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(mmengine_runner, "save_checkpoint", full)
    words = ["--epochs", "1", "--img-scale", "64x64", "--device", "cpu"]
    said = message("train", DETECTOR, "--data", shapes, "--work-dir", tmp_path / "work", *words)
    assert "No space left on device" in said
    assert "start again: there was nothing to save yet" in said
    assert not list((tmp_path / "work").glob("*.pth"))


# -- checkpoints ----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["test", "predict"])
def test_bad_checkpoints(command: str, message, shapes: Path, tmp_path: Path) -> None:
    image = next((shapes / "images").rglob("*.*"))
    rest = ["--data", shapes] if command == "test" else [image]

    def said(path: Path) -> str:
        return message(command, DETECTOR, path, *rest, "--device", "cpu")

    assert "no checkpoint file" in said(tmp_path / "gone.pth")
    assert command == "test" or not Path("predictions").exists()
    (tmp_path / "cut.pth").write_bytes(b"PK\x03\x04")
    assert "damaged" in said(tmp_path / "cut.pth")
    torch.save({"state_dict": {"backbone.conv1.weight": torch.zeros(3)}}, tmp_path / "other.pth")
    other = said(tmp_path / "other.pth")
    assert "is of another model than the config" in other
    assert "backbone.conv1.weight" in other


def test_resuming_another_model(message, shapes: Path, tmp_path: Path) -> None:
    torch.save({"state_dict": {"weight": torch.zeros(3)}, "meta": {}}, tmp_path / "other.pth")
    words = ["--data", shapes, "--resume", tmp_path / "other.pth", "--device", "cpu"]
    assert "is of another model than the config" in message("train", DETECTOR, *words)


def test_resuming_without_the_state_of_a_training(message, shapes: Path, tmp_path: Path) -> None:
    torch.save(weights_of_the_detector(shapes), tmp_path / "weights.pth")
    words = ["--data", shapes, "--resume", tmp_path / "weights.pth", "--device", "cpu"]
    said = message("train", DETECTOR, *words)
    assert "no optimizer state" in said
    assert "load_from=" in said


def test_starting_from_weights_that_do_not_fit(message, shapes: Path, tmp_path: Path) -> None:
    torch.save({"state_dict": {"weight": torch.zeros(3)}}, tmp_path / "other.pth")
    words = ["--data", shapes, "--device", "cpu", "--cfg-options", f"load_from={tmp_path / 'other.pth'}"]
    assert "none of its weights fits the model" in message("train", DETECTOR, *words)


def weights_of_the_detector(shapes: Path) -> dict[str, torch.Tensor]:
    from mmengine.registry import MODELS, init_default_scope

    from mmbackbones.compose.classes import set_num_classes

    cfg = load_config(DETECTOR)
    init_default_scope("mmdet")
    set_num_classes(cfg.model, len(CLASSES))
    return MODELS.build(cfg.model).state_dict()


# -- images ---------------------------------------------------------------------------------------


def test_bad_images(message, tmp_path: Path) -> None:
    empty, text = tmp_path / "empty.jpg", tmp_path / "text.png"
    empty.write_bytes(b"")
    text.write_text("no picture")
    folder = tmp_path / "nothing"
    folder.mkdir()

    def said(path: Path) -> str:
        return message("predict", DETECTOR, "some.pth", path)

    assert "empty.jpg is empty (0 bytes)" in said(empty)
    assert "text.png cannot be read: it is not an image" in said(text)
    assert "no image file" in said(tmp_path / "gone.jpg")
    assert "nothing has no images" in said(folder)


def test_a_cut_image(message, shapes: Path, tmp_path: Path) -> None:
    whole = next((shapes / "images").rglob("*.*"))
    cut = tmp_path / f"cut{whole.suffix}"
    cut.write_bytes(whole.read_bytes()[:-200])
    assert "cannot be read" in message("predict", DETECTOR, "some.pth", cut)


def test_no_classes_anywhere(message, shapes: Path, tmp_path: Path) -> None:
    torch.save(weights_of_the_detector(shapes), tmp_path / "weights.pth")
    cfg = load_config(DETECTOR)
    cfg.model.roi_head.bbox_head.num_classes = len(CLASSES)
    config = tmp_path / "config.py"
    cfg.test_dataloader.dataset.type = "BaseDetDataset"
    cfg.dump(config)
    image = next((shapes / "images").rglob("*.*"))
    said = message("predict", config, tmp_path / "weights.pth", image, "--device", "cpu")
    assert "names the classes" in said


def test_processes_may_prepare_one_folder_at_once(tmp_path: Path) -> None:
    """All processes of torchrun check the same work dir in the same moment."""
    from concurrent.futures import ThreadPoolExecutor

    from mmbackbones.engine.work_dir import prepare_work_dir

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(prepare_work_dir, [tmp_path / "work"] * 400))
    assert done == [tmp_path / "work"] * 400
    assert list((tmp_path / "work").iterdir()) == []
