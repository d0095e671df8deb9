"""Specs of a board: what is read, and what a bad one is told, with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmbackbones.errors import InputError
from mmbackbones.leaderboard.resolve import MAY_DIFFER, differing, identity, resolve
from mmbackbones.leaderboard.spec import read_spec

GOOD = """\
data: shapes
task: detection
architecture: faster-rcnn
backbones: [resnet18, "regnety_00*", "timm:resnet10t"]
epochs: 2
image_size: 64x64
pretrained: false
"""


@pytest.fixture
def spec_file(shapes: Path, tmp_path: Path):
    """Writes a spec beside the data."""
    (tmp_path / "shapes").symlink_to(shapes)

    def write(text: str) -> Path:
        (tmp_path / "board.yaml").write_text(text, encoding="utf-8")
        return tmp_path / "board.yaml"

    return write


def test_a_spec_is_read_with_globs_and_defaults(spec_file, shapes: Path) -> None:
    spec = read_spec(spec_file(GOOD + "limits: {max_params: 12M}\nbudget: {hours: 2}\n"))
    small = ("regnety_002", "regnety_004", "regnety_006", "regnety_008")
    assert spec.backbones == ("resnet18", *small, "timm:resnet10t")
    assert (spec.data, spec.seeds, spec.seconds) == (shapes.resolve(), (0, 1, 2), 7200)
    assert {trial.name: trial.optimizer["lr"] for trial in spec.trials} == {"sgd": 0.01, "adamw": 5e-5}
    wide = changed("regnety_00*", "regnety_0*") + "limits: {max_gflops: 1.9, max_params: 11.9M}\n"
    spec = read_spec(spec_file(wide))
    assert spec.backbones == ("resnet18", *small, "regnety_016", "timm:resnet10t")
    assert "(max_gflops: 1.9, max_params: 11.9M): 17.9 M parameters" in spec.left_out["regnety_032"]
    with pytest.raises(InputError, match=r"'timm:resnet10t' is outside the limits \(max_gflops: 0.5\)"):
        read_spec(spec_file(changed("[resnet18, ", "[") + "limits: {max_gflops: 0.5}\n"))
    again = GOOD + "seeds: [4, 7]\ntrials:\n  only: {type: AdamW, lr: 1e-4}\n"
    spec = read_spec(spec_file(again))
    assert (spec.seeds, spec.trials[0].optimizer["lr"]) == ((4, 7), 1e-4)  # YAML 1.1 would read a word


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (changed("[resnet18,", "[resnet18,\n  resnet19,"), 5, "'resnet19' is unknown. Nearest: resnet18"),
        (changed('"regnety_00*"', '"regnetz_00*"'), 4, "no backbone matches 'regnetz_00*'"),
        (changed('[resnet18, "regnety_00*", "timm:resnet10t"]', "[]"), 4, "backbones is empty"),
        (
            GOOD + "limits:\n  max_params: 1M\n  min_params: 2M\n",
            10,
            "contradict each other: min_params 2M is above max_params 1M",
        ),
        (GOOD + "limits: {max_params: 1M}\n", 4, "'resnet18' is outside the limits (max_params: 1M): 11."),
        (GOOD + "limits: {max_params: much}\n", 8, "max_params='much' is no size"),
        (
            changed("[resnet18", "[lenet5"),
            4,
            "faster-rcnn cannot be fed by 'lenet5': it needs maps at strides (4, 8, 16, 32)",
        ),
        (
            changed("faster-rcnn", "deeplabv3plus").replace("task: detection", "task: segmentation")
            + "limits: {max_gflops: 9}\n",
            4,
            "",
        ),
        (changed("data: shapes", "data: nowhere"), 1, "there is no folder"),
        (changed("task: detection", "task: detecting"), 2, "'detecting' is unknown; use one of detection"),
        (changed("task: detection", "task: segmentation"), 3, "is for detection, the task is segmentation"),
        (changed("faster-rcnn", "fastest-rcnn"), 3, "Nearest: faster-rcnn"),
        (changed("architecture: faster-rcnn\n", ""), 1, "give one of `architecture` and `config`"),
        (changed("epochs: 2", "epoch: 2"), 5, "has no 'epoch'. Did you mean 'epochs'?"),
        (changed("epochs: 2", "epochs: 2\nschedule: 1x"), 5, "say the same thing"),
        (changed("epochs: 2", "epochs: two"), 5, "'two' must be a whole number from 1 on"),
        (changed("64x64", "64"), 6, "write WIDTHxHEIGHT"),
        (GOOD + "seeds: [1, 1]\n", 8, "seeds [1, 1]: give a number of seeds, or a list of different whole"),
        (GOOD + "seeds: 0\n", 8, "seeds 0: give a number"),
        (GOOD + "more_seeds:\n  resnet18: six\n", 9, "more_seeds: resnet18 six: give a number"),
        (GOOD + "more_seeds: {resnet50: 6}\n", 8, "has no 'resnet50'"),
        (GOOD + "more_seeds: {resnet18: [4, 5]}\n", 8, "lacks the seed 0, on which trials are compared"),
        (GOOD + "trials:\n  sgd: {type: SGD}\n", 9, "needs `type` and `lr`"),
        (GOOD + "budget: {run_minutes: 0}\n", 8, "must be a number above 0"),
        (GOOD + "options: {model.neck: '{'}\n", 8, "cannot be read"),
        (GOOD + "a: [\n", 9, "no YAML"),
    ],
)
def test_a_bad_spec_is_told_file_and_line(spec_file, text: str, line: int, said: str) -> None:
    path = spec_file(text)
    if not said:  # a net that takes no output_stride, named by its kind
        text = text.replace("resnet18", "swin_tiny_patch4_window7_224")
        path, said = spec_file(text), "needs output_stride=8, and the backbone cannot be dilated"
    with pytest.raises(InputError) as error:
        read_spec(path)
    assert str(error.value).startswith(f"{path}:{line}: "), error.value
    assert said in str(error.value)


def test_only_the_backbone_and_the_trial_differ(spec_file, tmp_path: Path) -> None:
    """Of a net with batch norms, a Swin, and a plain transformer."""
    nets = ["resnet18", "swin_tiny", "vit_tiny_patch16_224"]
    text = changed('[resnet18, "regnety_00*", "timm:resnet10t"]', f"[{', '.join(nets)}]")
    spec = read_spec(spec_file(text.replace("pretrained: false", "pretrained: true")))
    found = resolve(spec, tmp_path / "board")
    assert len(found.board.keys) == len(set(found.board.keys.values())) == 3 * 2 * 3
    plain = [identity(cfg, spec.data, tmp_path / "board" / "data_cache") for cfg in found.configs.values()]
    ways = differing(plain)
    assert {way.partition(".")[0] for way in ways} == {"model", "optim_wrapper"}
    assert [way for way in ways if not MAY_DIFFER.search(way)] == []
    assert {way for way in ways if ".neck." in way} == {f"model.neck.in_channels.{n}" for n in range(4)}
    for one in plain:
        assert str(tmp_path) not in str(one)  # a key is the same on every machine
        assert one["model"]["backbone"]["frozen_stages"] == -1
    alone = text.replace("swin_tiny, vit_tiny_patch16_224", "").replace(
        "pretrained: false", "pretrained: true"
    )
    (tmp_path / "far").mkdir()
    (tmp_path / "elsewhere").symlink_to(tmp_path / "far")
    again = resolve(read_spec(spec_file(alone)), tmp_path / "elsewhere")
    assert again.data == found.data
    assert again.board.keys.items() < found.board.keys.items()  # whatever else is on the board, and where
