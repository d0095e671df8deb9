"""Every shipped config: one call of the table, named for what it holds, its parts fit; each model trains."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
import yaml
from cases import SWEEP
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from PIL import Image
from shipped import (
    backbone_of,
    check_entries,
    check_name,
    is_only_the_call,
    loss_of_first_batch,
    model_of,
    parts_of_the_backbone,
    plain,
    read,
    text,
)

from mmbackbones import InputError
from mmbackbones.compose.configs import find_config, load_config, resolved, shipped_names, walk
from mmbackbones.compose.filling import compose
from mmbackbones.compose.fit import Settings, fit
from mmbackbones.compose.models import MODELS as MODELS_OF_TABLE
from mmbackbones.data.shapes import write_shapes
from mmbackbones.engine.predictions import Predictor
from mmbackbones.engine.report import main_figures
from mmbackbones.engine.runner import build_runner
from mmbackbones.feature_nets import steps
from mmbackbones.sources import open_net
from mmbackbones.tracing.shapes import ShapesOnly, Unfilled

NAMES = shipped_names("mmbackbones")
MAX_LINES = 40


def one_of_each_model() -> list[str]:
    """What `make test` trains; those of a model have the same heads. `make sweep` trains all."""
    if SWEEP:
        return NAMES
    cheap_last = sorted(NAMES, key=lambda name: "_1xb8-8" in name)  # trained from random weights, and slim
    return sorted({model_of(name): name for name in cheap_last}.values())


TRAINED = one_of_each_model()


def test_the_three_promised_configs_are_there() -> None:
    assert {
        "detection/faster-rcnn_resnet50_fpn_1x_coco",
        "detection/faster-rcnn_mobilenetv3-large_fpn_1x_coco",
        "segmentation/deeplabv3plus_resnet50-d8_4xb2-80k_cityscapes-512x1024",
    } <= set(NAMES)


def test_the_page_of_models_links_every_config(root: Path) -> None:
    linked = re.findall(
        r"\(\.\./configs/([\w/+-]+)\.py\)", (root / "docs/models.md").read_text(encoding="utf-8")
    )
    plain = {name for name in NAMES if not name.startswith("finetune/")}
    assert {name for name in linked if not name.startswith("finetune/")} == plain


def test_an_old_name_leads_to_the_new_one() -> None:
    """Until version 0.1 some names said neither schedule nor data."""
    for old, new in {
        "detection/faster-rcnn_mobilenetv3-large_fpn_scratch": "faster-rcnn_mobilenetv3-large-scratch_fpn",
        "segmentation/bisenet_resnet18_scratch": "bisenet_resnet18-scratch_1xb8-8k",
        "finetune/upernet_swin-tiny_hundreds": "upernet_swin-tiny_1xb8-hundreds-20k",
        "deeplabv3plus_resnet50_4xb2-80k_cityscapes-512x1024": "deeplabv3plus_resnet50-d8_4xb2-80k",
        "segmentation/mask-rcnn_resnet50_fpn_1x_coco": "detection/mask-rcnn_resnet50_fpn_1x_coco",
    }.items():
        with pytest.raises(InputError, match=f"no config file or name '{old}'. Nearest names: .*{new}"):
            find_config(old)


def test_no_config_repeats_another() -> None:
    said = [re.sub(r"#.*\n", "", text(name)) for name in NAMES]
    assert len(set(said)) == len(said)


@pytest.mark.parametrize("name", NAMES)
def test_a_config_is_a_call_of_the_table_and_its_parts_fit(name: str) -> None:
    assert len(text(name).splitlines()) <= MAX_LINES
    check_reading_builds_nothing(name)
    check_name(name)
    check_entries(name)
    check_the_command_writes_the_same(name)
    check_parts_fit(name)


def check_reading_builds_nothing(name: str) -> None:
    """No net of the catalog is built, and torch's random state stays."""
    built: list[str] = []

    def noting(source: str, upstream: str, *args: Any) -> Any:
        built.append(f"{source}:{upstream}")
        return open_net(source, upstream, *args)

    with patch.object(steps, "open_net", noting), patch("mmbackbones.sources.open_net", noting):
        before = torch.random.get_rng_state()
        _, call = read(name)
        assert torch.equal(before, torch.random.get_rng_state())
    # Of a net outside the catalog nothing is known before it is traced, without values.
    assert set(built) <= {call.backbone}


def check_the_command_writes_the_same(name: str) -> None:
    """`mmbackbones config` says of the same pair what the file says, but for what is special to the file."""
    shipped, call = read(name)
    init = backbone_of(shipped.model).get("init_cfg")
    cfg, _ = compose(
        call.model,
        call.backbone,
        pretrained=init is not None,
        weights=init and init.checkpoint,
        output_stride=call.args.get("output_stride") if MODELS_OF_TABLE[call.model].dilated else None,
    )
    if is_only_the_call(name):
        theirs, found = plain(resolved(shipped)), plain(resolved(cfg))
        theirs.pop("data_preprocessor", None)  # of mmseg's base, for models that have none of their own
        assert theirs.keys() == found.keys()
        for key, value in theirs.items():
            assert found[key] == value, key
    else:
        given = {*call.args, *(("mean", "std") if "mean=" in text(name) else ())}
        given |= {
            f"decode_head.{key}"
            for key in ("type", "dilations")
            if re.search(rf"decode_head\.update\([^()]*\b{key}=", text(name))
        }
        for said in re.findall(r"^model\.backbone\.update\(\n(.*?)^\)", text(name), re.DOTALL | re.MULTILINE):
            given |= {f"backbone.{key}" for key in re.findall(r"^    (\w+)=", said, re.MULTILINE)}
        assert parts_of_the_backbone(shipped.model, given) == parts_of_the_backbone(cfg.model, given)


def check_parts_fit(name: str) -> None:
    """Backbone, neck and heads take each other's maps; all that should train gets a gradient."""
    cfg, _ = read(name)
    assert backbone_of(cfg.model).type.startswith("mmbackbones.")
    init_default_scope(cfg.default_scope)
    with torch.device("meta"), Unfilled():
        model = MODELS.build(cfg.model)
    if name not in TRAINED:  # which shows the same
        check_shapes_and_gradients(model)
    build_optim_wrapper(model, cfg.optim_wrapper)
    listed = {entry["Config"]: entry["Metadata"] for entry in metafile(name.partition("/")[0])["Models"]}
    parameters = sum(value.numel() for value in model.parameters())
    assert listed[f"configs/{name}.py"]["Parameters"] == parameters, "run `python docs/metafiles.py`"


def check_shapes_and_gradients(model: torch.nn.Module) -> None:
    with torch.device("meta"), ShapesOnly():
        maps = model.train().extract_feat(torch.empty(2, 3, 96, 96))
        if any(fmap.requires_grad for fmap in maps):  # else all of it is frozen
            sum(fmap.sum() for fmap in maps).backward()
        for part in ("backbone", "neck"):
            for key, value in getattr(model, part, torch.nn.Identity()).named_parameters():
                assert value.requires_grad == (value.grad is not None), f"{part}.{key}"
        model.eval()
        for head in ("rpn_head", "bbox_head"):
            if hasattr(model, head):
                getattr(model, head)(maps)
        # Mask2Former's attention checks its numbers, which meta tensors lack.
        if hasattr(model, "decode_head") and "Mask2Former" not in type(model.decode_head).__name__:
            (found,) = model.predict(torch.empty(1, 3, 97, 131))
            assert found.pred_sem_seg.shape == (97, 131)


@functools.cache
def metafile(folder: str) -> dict[str, Any]:
    path = Path(__file__).parents[1] / f"configs/{folder}/metafile.yml"
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("configs") / "shapes", train=2, val=1, size=(64, 64))


def small(name: str, shapes: Path, folder: Path) -> Config:
    cfg = load_config(name)
    options = [f"{part}_dataloader.num_workers=0" for part in ("train", "val", "test")]
    settings = Settings(shapes, epochs=1, batch_size=2, img_scale="64x64", seed=0, options=options)
    fit(cfg, settings, cache_dir=folder / "cache")
    for _, node in walk(cfg.model):
        node.pop("init_cfg", None)  # nothing is downloaded
    for _, node in walk([cfg.model.get("train_cfg"), cfg.model.get("test_cfg")]):
        if "sampler" in node and "num" in node.sampler:
            node.sampler.num = 16  # regions of an image in a training step: 512 take a minute of a core
        if "max_per_img" in node:
            node.max_per_img = 20
    cfg.default_hooks.checkpoint.save_best = None  # it knows its folder only after a whole training has begun
    cfg.work_dir = str(folder)
    return cfg


@pytest.mark.parametrize("name", TRAINED)
def test_a_config_trains_evaluates_and_predicts(name: str, shapes: Path, tmp_path: Path) -> None:
    runner = build_runner(small(name, shapes, tmp_path))
    optimizer = runner.build_optim_wrapper(runner.optim_wrapper)
    loss = loss_of_first_batch(runner)
    assert torch.isfinite(loss)
    optimizer.backward(loss)
    for key, value in runner.model.named_parameters():
        assert value.requires_grad == (value.grad is not None), key
        assert value.grad is None or torch.isfinite(value.grad).all(), key
    before = [value.detach().clone() for value in runner.model.parameters() if value.requires_grad]
    optimizer.step()
    after = [value for value in runner.model.parameters() if value.requires_grad]
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
    figures = main_figures(runner.val())
    assert figures
    assert all(0 <= value <= 100 for value in figures.values())
    path = tmp_path / "odd.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (97, 131, 3), np.uint8)).save(path)
    found = Predictor(runner.model, runner.cfg, score_thr=0.0)(path)
    if found.label_map is not None:
        assert found.label_map.shape == (97, 131)
    else:
        assert len(found.boxes) == len(found.labels) == len(found.scores)
        border = np.array([131, 97, 131, 97]) + 1e-4  # boxes are clipped in the resized image, in 32 bits
        assert ((found.boxes >= 0) & (found.boxes <= border)).all()
