"""What a user may set beside a config."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..data.dataset import SplitName


@dataclass(frozen=True)
class Settings:
    """What a user may set beside the config; None leaves the config's own value.

    Attributes:
        data: folder of the user's data.
        epochs: passes over the training images.
        batch_size: images per process and step.
        lr: learning rate, used as it is.
        img_scale: ``WIDTHxHEIGHT`` in pixels.
        seed: of everything random.
        options: ``key=value`` as in mmengine's ``--cfg-options``.
        ignore_labels: segmentation: label values of pixels to ignore in ``data``, beside 255.
        pretrained: False starts from random weights, whatever the config names.
        val: folder or COCO file of the validation images, in place of the split of ``data``.
        test: the same of the test images.
        split: ``val`` or ``test``: what is tested; None for the images of ``test``, else the validation's.
        classes: of ``data`` these alone, in this order; none for all.
        class_balance: rare classes are seen more often (boxes) or weigh more (segmentation).
        early_stop: end after so many evaluations without a better one.
        ema: evaluate and save a moving average of the weights.
        workers: processes that load data.
        deterministic: take the same way in each run.
        save_every: minutes between checkpoints to go on from.
        log: beside the files: tensorboard, wandb, mlflow.
    """

    data: Path | None = None
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    img_scale: str | None = None
    seed: int | None = None
    options: list[str] = field(default_factory=list)
    ignore_labels: Sequence[int] = ()
    pretrained: bool = True
    val: Path | None = None
    test: Path | None = None
    split: SplitName | None = None
    classes: Sequence[str] = ()
    class_balance: bool = False
    early_stop: int | None = None
    ema: bool = False
    workers: int | None = None
    deterministic: bool = False
    save_every: float | None = None
    log: Sequence[str] = ()
