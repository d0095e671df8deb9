"""``mmbackbones config``: any model with any backbone, as a file that trains."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from cases import SWEEP
from mmengine.config import Config
from mmengine.registry import MODELS as REGISTRY
from mmengine.registry import init_default_scope
from shipped import loss_of_first_batch, model_of

import mmbackbones
from mmbackbones import InputError
from mmbackbones.cli import main
from mmbackbones.compose.config_text import config_text
from mmbackbones.compose.configs import shipped_names, walk
from mmbackbones.compose.filling import compose
from mmbackbones.compose.fit import Settings, fit
from mmbackbones.compose.models import EFFICIENTDETS, MODELS
from mmbackbones.data.shapes import write_shapes
from mmbackbones.engine.runner import build_runner

#: `make test` takes one model of each need of maps, with a small backbone by lot (shipped configs train the
#: others); `make sweep` this many pairs of each task.
PAIRS = {"detection": 100, "segmentation": 60}
#: EfficientDets beside D0 differ by widths and depths of the table, which the texts below show.
ALIKE = {f"efficientdet-{size}" for size in EFFICIENTDETS} - {"efficientdet-d0"}
OPEN = ("timm:resnet18d", "timm:hrnet_w18_small", "timm:edgenext_xx_small", "torchvision:mnasnet0_5")


def feeds(model: str, backbone: str) -> bool:
    row, spec = MODELS[model], mmbackbones.get_spec(backbone)
    return set(row.strides) <= set(spec.channels) and (row.dilated is None or spec.dilatable)


def drawn_pairs() -> list[tuple[str, str]]:
    lot = random.Random(20)
    if SWEEP:
        names = [*mmbackbones.list_backbones(), *OPEN]
        pairs = []
        for task, count in PAIRS.items():
            models = [model for model, row in MODELS.items() if row.task == task]
            every = [(model, name) for model in models for name in names if feeds(model, name)]
            pairs += lot.sample(every, count)
        return pairs
    small = [name for name in mmbackbones.list_backbones() if mmbackbones.get_spec(name).params < 6e6]
    needs: dict[object, str] = {}
    for model, row in MODELS.items():
        needs.setdefault((row.task, row.strides, row.dilated), model)
    shipped = set(map(model_of, shipped_names("mmbackbones")))
    models = [model for model in MODELS if model not in (shipped | ALIKE) - set(needs.values())]
    return [(model, lot.choice([name for name in small if feeds(model, name)])) for model in models]


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("compose") / "shapes", train=2, val=1, size=(64, 64))


@pytest.mark.parametrize(("model", "backbone"), drawn_pairs())
def test_a_pair_is_written_read_back_and_trains_a_step(
    model: str, backbone: str, shapes: Path, tmp_path: Path
) -> None:
    cfg, notes = compose(model, backbone, pretrained=False)
    options = [f"{part}_dataloader.num_workers=0" for part in ("train", "val", "test")]
    settings = Settings(shapes, epochs=1, batch_size=2, img_scale="64x64", seed=0, options=options)
    fit(cfg, settings, cache_dir=tmp_path / "cache")
    for _, node in walk(cfg.model):  # few proposals: two-stage heads take seconds for thousands
        if "max_per_img" in node:
            node["max_per_img"] = 20
        if "sampler" in node and "num" in node["sampler"]:
            node["sampler"]["num"] = 16
    path = tmp_path / "my.py"
    path.write_text(config_text(cfg, notes))
    read = Config.fromfile(path)
    read.work_dir = str(tmp_path)
    for _, node in walk(read.model):
        assert (node.get("init_cfg") or {}).get("type") != "Pretrained"
    runner = build_runner(read)
    wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    loss = loss_of_first_batch(runner)
    assert torch.isfinite(loss)
    wrapper.backward(loss)
    trained = {n: p for n, p in runner.model.named_parameters() if p.requires_grad}
    assert [name for name, value in trained.items() if value.grad is None] == []
    first = next(iter(trained))  # one for all: copies of the largest nets would not fit
    before = trained[first].detach().clone()
    wrapper.step()
    assert not torch.equal(before, trained[first])


def values(text: str, tmp_path: Path) -> dict:
    path = tmp_path / "again.py"
    path.write_text(text)
    return Config.fromfile(path).to_dict()


def without_scope(node: object) -> object:
    if isinstance(node, dict):
        return {key: without_scope(value) for key, value in node.items() if key != "_scope_"}
    return type(node)(map(without_scope, node)) if isinstance(node, (list, tuple)) else node


@pytest.mark.parametrize("model", list(MODELS))
def test_the_text_says_what_the_config_says(model: str, tmp_path: Path) -> None:
    cfg, notes = compose(model, "resnet18")
    text = config_text(cfg, ["title", *notes])
    assert max(map(len, [line for line in text.splitlines() if not line.startswith("#")])) <= 110
    read = values(text, tmp_path)
    assert {"model", "train_dataloader", "optim_wrapper", "train_cfg", "default_scope"} <= set(read)
    said = cfg.to_dict()
    if cfg.default_scope == "mmseg":  # which reads this in inference; ours change the loader's
        assert read.pop("test_pipeline") == without_scope(said["test_dataloader"]["dataset"]["pipeline"])
    for key, value in read.items():
        assert value == without_scope(said[key]), key
    assert "_base_ =" not in text
    backbones = [node for _, node in walk(read["model"]) if "mmbackbones." in str(node.get("type"))]
    assert any("resnet18" in (str(node["type"]), node.get("name"), node["type"][12:]) for node in backbones)


def test_a_net_that_cannot_start_on_the_meta_device_is_composed_too() -> None:
    before = torch.random.get_rng_state()
    cfg, _ = compose("retinanet", "torchvision:regnet_y_400mf")
    assert cfg.model.neck.in_channels == [104, 208, 440]
    assert cfg.model.backbone.norm_eval is True
    assert torch.equal(before, torch.random.get_rng_state())


def test_mean_and_std_follow_the_weights_in_the_name() -> None:
    cfg, _ = compose("faster-rcnn", "timm:vit_small_patch16_224.dino")
    assert cfg.model.backbone.init_cfg.checkpoint == "timm://vit_small_patch16_224.dino"
    assert cfg.model.data_preprocessor.mean == [123.675, 116.28, 103.53]


def test_neck_mean_and_dilation_follow_the_backbone() -> None:
    cfg, _ = compose("mask-rcnn", "vit_tiny_patch16_224")
    assert cfg.model.neck.type == "mmbackbones.SimpleFeaturePyramid"
    cfg, _ = compose("retinanet", "inception_v3")
    assert cfg.model.neck.in_channels == [288, 768, 2048]
    assert cfg.model.data_preprocessor.mean == [127.5, 127.5, 127.5]
    cfg, _ = compose("deeplabv3plus", "vgg16_bn")
    assert cfg.model.backbone.output_stride == 8
    cfg, _ = compose("deeplabv3plus", "vgg16_bn", output_stride=16)
    assert cfg.model.decode_head.dilations == (1, 6, 12, 18)
    assert (cfg.model.decode_head.in_channels, cfg.model.decode_head.c1_in_channels) == (512, 256)
    sizes = {}
    for size in ("d0", "d2"):
        cfg, _ = compose(f"efficientdet-{size}", "mobilenetv3_small_100")
        sizes[size] = cfg.val_dataloader.dataset.pipeline[1].scale
    assert sizes == {"d0": (512, 512), "d2": (768, 768)}


@pytest.mark.parametrize(
    ("model", "backbone", "words"),
    [
        ("faster-rcn", "resnet18", "--model 'faster-rcn' is unknown. Nearest: faster-rcnn"),
        ("faster-rcnn", "resnet5", "Unknown backbone 'resnet5'"),
        ("faster-rcnn", "lenet5", r"needs maps at strides \(4, 8, 16, 32\), the backbone has \(2, 4\)"),
        ("ssdlite", "lenet5", "No model of detection takes it; .* --strides 16,32"),
        ("deeplabv3plus", "swin_tiny", "cannot be dilated. With this backbone choose upernet"),
        ("unetpp", "swin_tiny", r"needs maps at strides \(2, 4, 8, 16, 32\).*choose .*upernet"),
    ],
)
def test_a_pair_that_cannot_be_is_refused(model: str, backbone: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        compose(model, backbone)


ODD_ONES = {  # backbone: the models that it cannot feed
    "lenet5": set(MODELS),  # ends at stride 4
    "squeezenet1_1": set(MODELS),  # ends at stride 16
    "alexnet": {"unetpp"},  # begins at stride 4
    "vgg16": set(),
    "vit_tiny_patch16_224": {"deeplabv3plus", "deeplabv3", "fcn", "lraspp", "unetpp"},
}


@pytest.mark.parametrize(("backbone", "cannot"), ODD_ONES.items())
def test_what_is_refused_is_what_cannot_be_fed(
    backbone: str, cannot: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert {model for model in MODELS if not feeds(model, backbone)} == cannot
    for model in sorted(cannot):
        assert main_fails(["config", "--model", model, "--backbone", backbone]) == 2
        said = " ".join(capsys.readouterr().err.split())
        others = [
            other for other in MODELS if MODELS[other].task == MODELS[model].task and other not in cannot
        ]
        instead = f"choose {', '.join(others)};" if others else f"No model of {MODELS[model].task} takes it;"
        assert instead in said
        flags = said.split("`mmbackbones list ")[1].split("`")[0]
        main_ok(["list", "resnet18", *flags.split()])  # what is offered instead is there
        assert "resnet18" in capsys.readouterr().out


@pytest.mark.parametrize("model", ["retinanet", "ssdlite", "yolov4-tiny", "efficientdet-d0"])
def test_a_plain_vit_feeds_one_stage_detectors(model: str) -> None:
    """Its maps, all computed at stride 16, arrive at the strides that the anchors have."""
    cfg, _ = compose(model, "vit_tiny_patch16_224", pretrained=False)
    init_default_scope(cfg.default_scope)
    with torch.device("meta"):
        network = REGISTRY.build(cfg.model).eval()
        maps = network.extract_feat(torch.empty(1, 3, 256, 256))
    anchors = network.bbox_head.prior_generator
    strides = [256 // features.shape[-1] for features in maps]
    if hasattr(anchors, "strides"):
        assert [(stride, stride) for stride in strides] == list(anchors.strides)
    else:  # SSDLite's are laid over any maps; the first level's stride gives their size
        assert strides[0] == anchors.stride
        assert len(strides) == anchors.num_levels


def test_the_command_writes_a_file_for_the_users_data(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "configs" / "my.py"
    command = ["config", "--model", "retinanet", "--backbone", "timm:resnet18d", "--data", str(shapes)]
    main_ok([*command, "-o", str(out), "--batch-size", "4", "--epochs", "3"])
    said = capsys.readouterr().out
    cfg = Config.fromfile(out)
    assert cfg.model.bbox_head.num_classes == len(cfg.train_dataloader.dataset.metainfo.classes)
    assert cfg.train_dataloader.batch_size == 4
    assert cfg.train_cfg.max_epochs == 3
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(0.01 * 4 / 16)  # RetinaNet's, for 16 images
    assert "Written:" in said
    assert "timm://resnet18d" in out.read_text().splitlines()[2]
    before = out.read_bytes()
    assert main_fails([*command, "-o", str(out)]) == 2
    assert "--force" in capsys.readouterr().err
    assert out.read_bytes() == before
    assert main_fails([*command, "-o", str(tmp_path / "my.yaml")]) == 2
    assert "my.py" in capsys.readouterr().err


def test_without_a_file_the_config_goes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    main_ok(["config", "--model", "upernet", "--backbone", "resnet18"])
    said = capsys.readouterr().out
    assert said.startswith("# upernet with resnet18.\n")
    compile(said, "my.py", "exec")


def main_ok(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code in (0, None)


def main_fails(argv: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    return int(ended.value.code or 0)


def test_weights_and_output_stride_are_taken_or_refused(capsys: pytest.CaptureFixture[str]) -> None:
    main_ok(["config", "--model", "upernet", "--backbone", "vit_small_patch16_224", "--weights", "dino"])
    text = capsys.readouterr().out
    assert "timm://vit_small_patch16_224.dino" in text
    assert "123.675" in text
    for model, options, words in (
        ("upernet", dict(output_stride=8), "--output-stride 8: upernet dilates no backbone"),
        ("upernet", dict(weights="dino"), "neither a file that exists nor a tag of 'resnet18'"),
        ("upernet", dict(weights="a1_in1k", pretrained=False), "contradict each other"),
    ):
        with pytest.raises(InputError, match=words):
            compose(model, "resnet18", **options)
