"""Every shipped config: it loads, is short, builds, runs, and one of each kind trains a step.

``make sweep`` trains a step with every config.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope

from mmbackbones.data.shapes import write_shapes
from mmbackbones.engine.configs import config_folder, load_config, shipped_names, walk
from mmbackbones.engine.fit import Settings, fit
from mmbackbones.engine.runner import Runner, build_runner

NAMES = shipped_names("mmbackbones")
MAX_LINES = 80


def one_of_each_kind() -> list[str]:
    """The kind is what stands before the backbone's name: ``segmentation/upernet``; small ones first."""
    chosen: dict[str, str] = {}
    for name in sorted(NAMES, key=lambda name: not name.endswith("_scratch")):
        chosen.setdefault(name.split("_")[0], name)
    return sorted(chosen.values())


TRAINED = NAMES if os.environ.get("MMBACKBONES_SWEEP") else one_of_each_kind()


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
    for _, node in walk(cfg.model.get("train_cfg") or {}):
        if "sampler" in node and "num" in node.sampler:
            node.sampler.num = 16  # regions of an image in a training step: 512 take a minute of a core
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
def test_a_config_is_short_and_its_parts_fit(name: str) -> None:
    folder = config_folder("mmbackbones")
    assert folder is not None
    assert len((folder / f"{name}.py").read_text().splitlines()) <= MAX_LINES
    cfg = load_config(name)
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


@pytest.mark.parametrize("name", TRAINED)
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
