"""What tells a failed training: losses, labels and figures."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.structures import BaseDataElement, PixelData

from mmbackbones.engine.checks import LabelCheckHook
from mmbackbones.engine.failures import LossCheckHook, failure_of
from mmbackbones.errors import InputError

NAN = math.nan


def runner(work: Path, wrapper: type = OptimWrapper) -> Any:
    optim = object.__new__(wrapper)  # the one for mixed precision wants a GPU
    optim.base_param_settings = None  # type: ignore[attr-defined]
    optim.optimizer = SimpleNamespace(param_groups=[{"lr": 0.1}])  # type: ignore[attr-defined]
    return SimpleNamespace(optim_wrapper=optim, iter=4, work_dir=str(work))


def test_the_first_loss_that_is_no_number_stops(tmp_path: Path) -> None:
    (tmp_path / "last_checkpoint").write_text("/elsewhere/epoch_3.pth")
    hook, outputs = LossCheckHook(), {"loss": torch.tensor(NAN), "loss_cls": NAN, "loss_bbox": 1.0}
    hook.after_train_iter(runner(tmp_path), 0, outputs={"loss": torch.tensor(1e30)})
    with pytest.raises(
        InputError, match=r"the loss is nan \(of loss_cls\) at iteration 5.*0\.1\. .*epoch_3\.pth"
    ):
        hook.after_train_iter(runner(tmp_path), 1, outputs=outputs)


def test_mixed_precision_may_leave_out_steps_but_not_all(tmp_path: Path) -> None:
    hook, amp = LossCheckHook(), runner(tmp_path, AmpOptimWrapper)
    for loss in [math.inf] * 20 + [1.0] + [math.inf] * 20:
        hook.after_train_iter(amp, 0, outputs={"loss": loss})
    with pytest.raises(InputError, match="the loss is inf"):
        hook.after_train_iter(amp, 0, outputs={"loss": math.inf})


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
