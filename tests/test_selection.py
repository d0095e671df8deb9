"""The selection tables: their words, and the pages written from them. tests/shipped.py has the rest."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from mmbackbones.catalog.selection import (
    AMOUNTS,
    BACKBONES,
    SCENES,
    TASKS,
    TITLES,
    amount_for,
    choices,
    scenes_of,
)
from mmbackbones.compose.configs import shipped_names
from mmbackbones.compose.models import MODELS

CHOICES = choices()


def test_every_word_of_the_tables_is_used_and_known() -> None:
    assert {choice.task for choice in CHOICES} == set(TASKS)
    assert {choice.model for choice in CHOICES} == TITLES.keys() <= MODELS.keys()
    assert {choice.label for choice in CHOICES} == BACKBONES.keys()
    amounts = {amount.name for amount in AMOUNTS}
    assert {choice.scene for choice in CHOICES} == {*SCENES, *amounts}
    assert set(scenes_of("finetune")) == amounts
    assert len({(choice.task, choice.scene, choice.config) for choice in CHOICES}) == len(CHOICES)
    for task in TASKS[:3]:  # without a scene the most accurate comes first
        assert scenes_of(task) == [scene for scene in SCENES if scene in scenes_of(task)]
    assert all(not choice.backbone.has_se for choice in CHOICES if choice.scene == "edge-int8")
    assert [amount_for(n).name for n in (1, 999, 1000, 10**6)] == [
        *("hundreds", "hundreds", "thousands"),
        "tens-of-thousands",
    ]


def test_all_configs_but_those_from_random_weights_stand_in_a_table() -> None:
    special = {  # for any amount of images; and torchvision's own models, which take its weights
        "finetune/faster-rcnn_resnet50_fpn_1xb4-gradual-unfreezing-24e_coco",
        *(name for name in shipped_names("mmbackbones") if "-torchvision" in name),
    }
    small = {name for name in shipped_names("mmbackbones") if "_1xb8-8" in name}
    assert {choice.config for choice in CHOICES} == set(shipped_names("mmbackbones")) - small - special


@pytest.mark.parametrize("page", ["README.md", "README_zh-CN.md", "docs/models.md"])
def test_pages_hold_the_tables(page: str, root: Path) -> None:
    script = runpy.run_path(str(root / "docs" / "selection.py"))
    assert page in script["PAGES"]
    text = (root / page).read_text(encoding="utf-8")
    assert script["TABLE"].search(text)
    assert script["fresh"](text) == text, "run `python docs/selection.py`"
