"""Every shipped config: it loads, is short, and trains a step on small images."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmbackbones.data.shapes import write_shapes
from mmbackbones.engine.configs import config_folder, load_config, shipped_names, walk
from mmbackbones.engine.fit import Settings, fit
from mmbackbones.engine.runner import Runner, build_runner

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


@pytest.mark.parametrize("name", NAMES)
def test_a_config_is_short_and_of_our_backbones(name: str) -> None:
    folder = config_folder("mmbackbones")
    assert folder is not None
    assert len((folder / f"{name}.py").read_text().splitlines()) <= MAX_LINES
    assert load_config(name).model.backbone.type.startswith("mmbackbones.")


@pytest.mark.parametrize("name", NAMES)
def test_a_config_trains(name: str, shapes: Path, tmp_path: Path) -> None:
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
