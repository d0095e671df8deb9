"""Every shipped config: it loads, is short, builds, trains a step, evaluates and predicts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from PIL import Image

from mmbackbones.compose.configs import config_folder, load_config, shipped_names, walk
from mmbackbones.compose.fit import Settings, fit
from mmbackbones.data.shapes import write_shapes
from mmbackbones.engine.predictions import Predictor
from mmbackbones.engine.report import main_figures
from mmbackbones.engine.runner import Runner, build_runner
from mmbackbones.feature_nets import steps
from mmbackbones.sources import open_net

NAMES = shipped_names("mmbackbones")
MAX_LINES = 80


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("configs") / "shapes", train=2, val=2, size=(96, 96))


def small(name: str, shapes: Path, folder: Path) -> Config:
    cfg = load_config(name)
    options = [f"{part}_dataloader.num_workers=0" for part in ("train", "val", "test")]
    settings = Settings(shapes, epochs=1, batch_size=2, img_scale="96x96", seed=0, options=options)
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


def loss_of_first_batch(runner: Runner) -> torch.Tensor:
    loop = runner.build_train_loop(runner._train_loop)
    model = runner.model.train()
    batch = model.data_preprocessor(next(iter(loop.dataloader)), True)
    return model.parse_losses(model(**batch, mode="loss"))[0]


def test_the_three_promised_configs_are_there() -> None:
    assert {
        "detection/faster-rcnn_resnet50_fpn_1x_coco",
        "detection/faster-rcnn_mobilenetv3-large_fpn_1x_coco",
        "segmentation/deeplabv3plus_resnet50_4xb2-80k_cityscapes-512x1024",
    } <= set(NAMES)


def test_the_page_of_models_links_every_config(root: Path) -> None:
    linked = re.findall(
        r"\(\.\./configs/([\w/+-]+)\.py\)", (root / "docs/models.md").read_text(encoding="utf-8")
    )
    assert set(linked) == {name for name in NAMES if not name.startswith("finetune/")}


def load_without_building(name: str, monkeypatch: pytest.MonkeyPatch) -> Config:
    """The config; to read it builds no net of the catalog and leaves torch's random state."""
    built: list[str] = []

    def noting(source: str, upstream: str, *args: Any) -> Any:
        built.append(f"{source}:{upstream}")
        return open_net(source, upstream, *args)

    with monkeypatch.context() as patched:
        patched.setattr(steps, "open_net", noting)
        before = torch.random.get_rng_state()
        cfg = load_config(name)
        assert torch.equal(before, torch.random.get_rng_state())
    # Of a net outside the catalog nothing is known before it is traced, without values.
    assert all(f"'name': '{net}'" in str(cfg.model.to_dict()) for net in built), built
    return cfg


@pytest.mark.parametrize("name", NAMES)
def test_a_config_is_short_and_its_parts_fit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = config_folder("mmbackbones")
    assert folder is not None
    assert len((folder / f"{name}.py").read_text().splitlines()) <= MAX_LINES
    cfg = load_without_building(name, monkeypatch)
    ours = [node for _, node in walk(cfg.model.backbone) if "type" in node]
    assert ours[0].type.startswith("mmbackbones.")
    init_default_scope(cfg.default_scope)
    with torch.device("meta"):
        model = MODELS.build(cfg.model).eval()
        maps = model.extract_feat(torch.empty(1, 3, 96, 96))
        for head in ("rpn_head", "bbox_head"):
            if hasattr(model, head):
                getattr(model, head)(maps)
        # Mask2Former's attention checks its numbers, which meta tensors lack.
        if hasattr(model, "decode_head") and "Mask2Former" not in type(model.decode_head).__name__:
            (found,) = model.predict(torch.empty(1, 3, 97, 131))
            assert found.pred_sem_seg.shape == (97, 131)
    build_optim_wrapper(model, cfg.optim_wrapper)


@pytest.mark.parametrize("name", NAMES)
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
        assert ((found.boxes >= 0) & (found.boxes <= [131, 97, 131, 97])).all()
