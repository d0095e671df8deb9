"""What is drawn as true and as predicted: label maps of many classes and of classes in another order."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mmbackbones import InputError
from mmbackbones.engine import validation_grid
from mmbackbones.engine.checks import check_label_bits
from mmbackbones.engine.draw import draw_labels
from mmbackbones.engine.predictions import Predictor
from mmbackbones.engine.validation_grid import write_validation_grid

PIPELINE = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations"), dict(type="PackSegInputs")]
STRIPES = np.repeat(np.arange(3, dtype=np.uint8), 16)[None].repeat(48, 0)


class Stub(torch.nn.Module):
    """A segmenter that says the same of every image."""

    def __init__(self, labels: np.ndarray, classes: int) -> None:
        super().__init__()
        self.num_classes, self.labels = classes, torch.as_tensor(labels.astype(np.int64))

    def test_step(self, batch: Any) -> list[Any]:
        return [SimpleNamespace(pred_sem_seg=SimpleNamespace(data=self.labels[None]))]


@pytest.fixture
def cfg() -> Config:
    from mmseg.utils import register_all_modules

    register_all_modules(init_default_scope=True)
    dataset = dict(type="mmseg.BaseSegDataset", pipeline=PIPELINE)
    return Config(
        dict(default_scope="mmseg", model=dict(type="EncoderDecoder"), test_dataloader=dict(dataset=dataset))
    )


def test_the_truth_has_its_classes_in_the_order_of_the_model(
    cfg: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Classes that change places: applied one after the other, all would end as class 0."""
    from mmseg.datasets import BaseSegDataset

    class Ordered(BaseSegDataset):
        METAINFO = dict(classes=("a", "b", "c"), palette=[[9, 9, 9], [99, 99, 99], [199, 199, 199]])

    for folder, pixels in (("images", np.zeros((48, 48, 3), np.uint8)), ("labels", STRIPES)):
        (tmp_path / folder).mkdir()
        Image.fromarray(pixels).save(tmp_path / folder / "x.png")
    prefix = dict(img_path=str(tmp_path / "images"), seg_map_path=str(tmp_path / "labels"))
    dataset = Ordered(
        metainfo=dict(classes=("c", "a", "b")), data_prefix=prefix, img_suffix=".png", pipeline=PIPELINE
    )
    assert dataset.label_map == {0: 1, 1: 2, 2: 0}
    drawn: list[np.ndarray] = []

    def note(image: Any, found: Any, *_: Any) -> Any:
        drawn.append(found.label_map)
        return image

    monkeypatch.setattr(validation_grid, "picture_of", note)
    write_validation_grid(tmp_path / "grid.png", Stub(STRIPES, 3), cfg, dataset)
    truth, guess = drawn
    np.testing.assert_array_equal(truth, np.array([1, 2, 0])[STRIPES])
    np.testing.assert_array_equal(guess, STRIPES)


def test_more_than_256_classes(cfg: Config, tmp_path: Path) -> None:
    labels = np.full((8, 8), 299)
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    found = Predictor(Stub(labels, 300), cfg)(tmp_path / "x.png").label_map
    assert found is not None
    np.testing.assert_array_equal(found, labels)
    palette = [(0, 0, 0)] * 299 + [(200, 100, 0)]
    assert draw_labels(Image.new("RGB", (8, 8)), found, palette).getpixel((0, 0)) == (130, 65, 0)
    cfg.model.decode_head = dict(type="FCNHead", num_classes=300)
    with pytest.raises(InputError, match="num_classes=300, but LoadAnnotations keeps 8 bits"):
        check_label_bits(cfg)
    cfg.model.decode_head.num_classes = 256
    check_label_bits(cfg)
