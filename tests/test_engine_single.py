"""Batches of one image: left out at the end of an epoch, refused with a reason where nothing else is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.dataset import DefaultSampler
from mmengine.registry import MODELS, init_default_scope
from torch import nn
from torch.utils.data import DataLoader

from mmbackbones.cli import main
from mmbackbones.compose.configs import load_config
from mmbackbones.engine.single import refuse_single_values, without_single
from mmbackbones.errors import InputError

SSDLITE = "detection/ssdlite_mobilenetv3-large-minimal-scratch_1xb8-8e_coco-160x160"
SMALL = ["--img-scale", "64x64", "--epochs", "1", "--device", "cpu", "--cfg-options"]


#: For the fixture ``shapes``.
SHAPES = dict(train=3, val=1)


def train(config: str, shapes: Path, work: Path, batch: int) -> int:
    words = ["train", config, "--data", str(shapes), "--work-dir", str(work), "--batch-size", str(batch)]
    workers = [f"{part}_dataloader.num_workers=0" for part in ("train", "val", "test")]
    with pytest.raises(SystemExit) as end:
        main([*words, *SMALL, *workers])
    return int(end.value.code or 0)


def test_a_last_batch_of_one_image_is_left_out(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(SSDLITE, shapes, tmp_path, batch=2) == 0
    shown = capsys.readouterr().out
    assert "each epoch leaves one of 3 images out" in shown
    assert "train 1/1" in shown


def test_batches_of_one_image_are_refused(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(SSDLITE, shapes, tmp_path, batch=1) == 2
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    assert "cannot train on a batch of one image" in said.err
    assert "--batch-size 2 or more" in said.err
    assert not list(tmp_path.rglob("*.pth"))


@pytest.mark.parametrize(
    "name",
    [
        "bisenet_resnet18-scratch_1xb8-8k_cityscapes-360x480",
        "deeplabv3plus_resnet18-scratch-d16_1xb8-8k_cityscapes-360x480",
    ],
)
def test_segmenters_that_pool_to_one_cell(name: str) -> None:
    cfg = load_config(f"segmentation/{name}")
    init_default_scope("mmseg")
    net = MODELS.build(cfg.model).train()
    refuse_single_values(net)
    with pytest.raises(InputError, match="cannot train on a batch of one image"):
        net(torch.rand(1, 3, 64, 64), mode="tensor")
    net(torch.rand(2, 3, 64, 64), mode="tensor")


class Images(torch.utils.data.Dataset):
    """Numbers, with the sizes of images that mmdet's sampler asks for; a third stands upright."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> int:
        return index

    def get_data_info(self, index: int) -> dict[str, int]:
        return {"width": 64, "height": 96 if index % 3 == 0 else 48}


def loader_of(kind: str, count: int, size: int, drop_last: bool = False) -> DataLoader:
    from mmdet.datasets.samplers import AspectRatioBatchSampler

    data = Images(count)
    sampler = DefaultSampler(data, shuffle=True, seed=0)
    if kind == "plain":
        return DataLoader(data, size, sampler=sampler, drop_last=drop_last)
    return DataLoader(data, batch_sampler=AspectRatioBatchSampler(sampler, size, drop_last))


def set_epoch(loader: Any, epoch: int) -> None:
    """As mmengine does."""
    has = hasattr(loader.sampler, "set_epoch")
    (loader.sampler if has else loader.batch_sampler.sampler).set_epoch(epoch)


@pytest.mark.parametrize("kind", ["plain", "by shape"])
def test_another_image_is_left_out_each_epoch(kind: str) -> None:
    loader, note = without_single(loader_of(kind, 13, 4), nn.BatchNorm2d(1))
    assert "13 = 3 x 4 + 1" in note
    left_out = set()
    for epoch in range(6):
        set_epoch(loader, epoch)
        batches = [batch.tolist() for batch in loader]
        assert len(batches) == len(loader) == 3
        used = sum(batches, [])
        assert len(used) == len(set(used)) == 12
        left_out |= set(range(13)) - set(used)
    assert len(left_out) > 2


@pytest.mark.parametrize("kind", ["plain", "by shape"])
@pytest.mark.parametrize(
    ("count", "size", "drop_last"),
    [(12, 4, False), (14, 4, False), (13, 4, True), (1, 4, False), (3, 1, False)],
)
def test_other_loaders_stay(kind: str, count: int, size: int, drop_last: bool) -> None:
    loader = loader_of(kind, count, size, drop_last)
    assert without_single(loader, nn.BatchNorm2d(1)) == (loader, "")


def test_nets_without_batch_norm_see_every_image() -> None:
    loader = loader_of("plain", 13, 4)
    assert without_single(loader, nn.GroupNorm(1, 1)) == (loader, "")


def test_only_single_values_are_refused() -> None:
    net = nn.Sequential(nn.BatchNorm2d(3))
    refuse_single_values(net)
    for size in ((2, 3, 1, 1), (1, 3, 1, 2)):
        net(torch.rand(size))
    with pytest.raises(InputError, match=r"'0' \(BatchNorm2d\) cannot train on a batch of one image"):
        net(torch.rand(1, 3, 1, 1))
    net.train(False)(torch.rand(1, 3, 1, 1))
