"""What tells a failed training: losses, labels and figures."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny_training as tiny
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.structures import BaseDataElement, PixelData

from mmbackbones.engine import label_checks
from mmbackbones.engine.failures import LossCheckHook, failure_of
from mmbackbones.engine.label_checks import LabelCheckHook
from mmbackbones.errors import InputError

NAN = math.nan


def runner(work: Path, wrapper: type = OptimWrapper) -> Any:
    """Of which a hook sees no more than this; mmengine has noted no loss yet."""
    optim = object.__new__(wrapper)  # the one for mixed precision wants a GPU
    optim.base_param_settings = None  # type: ignore[attr-defined]
    optim.optimizer = SimpleNamespace(param_groups=[{"lr": 0.1}])  # type: ignore[attr-defined]
    hub = MessageHub("failures")
    return SimpleNamespace(optim_wrapper=optim, iter=4, work_dir=str(work), message_hub=hub)


def step(hook: LossCheckHook, train: Any, **losses: float) -> None:
    """A step: mmengine reads the losses for its log; the hook gets them where it cannot read them."""
    for name, value in losses.items():
        train.message_hub.update_scalar(f"train/{name}", value)
    hook.after_train_iter(train, 0, outputs={name: torch.empty((), device="meta") for name in losses})


def test_the_first_loss_that_is_no_number_stops(tmp_path: Path) -> None:
    (tmp_path / "last_checkpoint").write_text("/elsewhere/epoch_3.pth")
    hook, train = LossCheckHook(), runner(tmp_path)
    step(hook, train, loss=1e30)
    with pytest.raises(
        InputError, match=r"the loss is nan \(of loss_cls\) at iteration 5.*0\.1\. .*epoch_3\.pth"
    ):
        step(hook, train, loss=NAN, loss_cls=NAN, loss_bbox=1.0)


def test_mixed_precision_may_leave_out_steps_but_not_all(tmp_path: Path) -> None:
    hook, amp = LossCheckHook(), runner(tmp_path, AmpOptimWrapper)
    for loss in [math.inf] * 20 + [1.0] + [math.inf] * 20:
        step(hook, amp, loss=loss)
    with pytest.raises(InputError, match="the loss is inf"):
        step(hook, amp, loss=math.inf)


def test_a_loss_that_is_no_number_stops_a_training_at_once(tmp_path: Path) -> None:
    """By mmengine's own Runner, and without torch's warning of a gradient that is read as a number."""
    cfg = tiny.config(tmp_path, **{"optim_wrapper.optimizer.lr": 1e36})
    cfg.custom_hooks = [dict(type="mmbackbones.LossCheckHook")]
    train = tiny.Runner.from_cfg(cfg)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Converting a tensor with requires_grad")
        with pytest.raises(InputError, match="The training failed: the loss is"):
            train.train()
    *before, last = train.message_hub.get_scalar("train/loss").data[0]
    assert all(map(math.isfinite, before))
    assert not math.isfinite(last)


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({"coco/bbox_mAP": 0.0}, ""),  # boxes were found, if poor ones
        ({"mIoU": 12.0, "mAcc": NAN}, ""),
        ({}, "nothing was found in any validation image"),
        ({"mIoU": NAN, "aAcc": NAN}, r"no numbers \(mIoU, aAcc\)"),
    ],
)
def test_figures_that_do_not_exist_are_a_failure(figures: dict[str, float], said: str) -> None:
    found = failure_of(Config(dict(val_dataloader=dict(batch_size=1))), figures)
    assert bool(found) == bool(said)
    assert said.replace("\\", "") in found
    assert failure_of(Config({}), figures) == "", "without an evaluation there are none"


@pytest.mark.parametrize("values", [(255, 255), (255, 1)])
def test_labels_that_are_all_ignored_are_a_failure(values: tuple[int, int]) -> None:
    hook, network = LabelCheckHook(), SimpleNamespace(num_classes=2)
    train = SimpleNamespace(model=network)
    hook.after_train_epoch(train)  # no label yet: another task
    for value in values:
        sample = BaseDataElement(metainfo=dict(ori_shape=(2, 2)))
        sample.gt_sem_seg = PixelData(data=torch.full((1, 2, 2), value))
        hook.before_train_iter(train, 0, dict(inputs=[torch.zeros(3, 2, 2)], data_samples=[sample]))
    if 1 in values:
        hook.after_train_epoch(train)
    else:
        with pytest.raises(InputError, match="every pixel of every training label so far means 'ignore'"):
            hook.after_train_epoch(train)


def test_a_label_is_scanned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its size is compared in every step; a label without a file, which may be another, is scanned too."""
    scanned: list[str] = []
    monkeypatch.setattr(
        label_checks, "check_values", lambda label, classes, ignore, name: scanned.append(name)
    )
    hook, train = LabelCheckHook(), SimpleNamespace(model=SimpleNamespace(num_classes=2))

    def look(file: str | None, size: tuple[int, int] = (2, 2)) -> None:
        sample = BaseDataElement(metainfo=dict(ori_shape=(2, 2), seg_map_path=file))
        sample.gt_sem_seg = PixelData(data=torch.ones(1, *size, dtype=torch.long))
        hook.before_train_iter(train, 0, dict(inputs=[torch.zeros(3, 2, 2)], data_samples=[sample]))

    for file in ("a.png", "b.png", "a.png", "b.png", None, None):
        look(file)
    assert scanned == ["a.png", "b.png", *["of an image without a path"] * 2]
    with pytest.raises(InputError, match=r"a\.png is 3x3, its image 2x2"):
        look("a.png", (3, 3))
