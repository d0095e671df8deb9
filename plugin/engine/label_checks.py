"""Labels that do not fit a segmenter or their images, found when they come by first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.hooks import Hook
from torch import Tensor

from ..errors import InputError
from ..registry import HOOKS


@HOOKS.register_module()
class LabelCheckHook(Hook):
    """Stops at the first label whose values no class has, or whose size is not its image's.

    With ``--data`` all labels are checked before the training; this is for a config's own data. On a GPU
    such a value would end the process without a word of where it stands; in an evaluation it would go
    unnoticed. The values of a label are looked at when its file comes by first, as that takes some
    milliseconds, while the GPU waits: what a random crop leaves out then is not seen later.

    Raises:
        InputError: the label's file, the values, and what is allowed; or that all of the labels are ignored.
    """

    def __init__(self) -> None:
        self._labelled: bool | None = None  # whether any pixel counts; None before the first label
        self._seen: set[str] = set()  # files of labels

    def after_train_epoch(self, runner: Any) -> None:
        if self._labelled is False:
            raise InputError(
                "The training failed: every pixel of every training label so far means 'ignore' (255, or the "
                "head's ignore_index), so nothing was learned. Check the labels, and reduce_zero_label."
            )

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        self._check(runner, data_batch)
        if isinstance(data_batch, Mapping):
            network = getattr(runner.model, "module", runner.model)
            check_padding(network, [image.shape[-2:] for image in data_batch["inputs"]])

    def before_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        self._check(runner, data_batch)

    def before_test_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        self._check(runner, data_batch)

    def _check(self, runner: Any, batch: Any) -> None:
        network = getattr(runner.model, "module", runner.model)
        classes = getattr(network, "num_classes", None)
        if classes is None or not isinstance(batch, Mapping):
            return
        for image, sample in zip(batch["inputs"], batch["data_samples"], strict=True):
            if "gt_sem_seg" in sample:
                label, ignore, file = sample.gt_sem_seg.data, _ignore_index(network), _file(sample)
                check_size(label, image, sample)
                if file in self._seen:
                    continue
                self._seen |= {file} if file else set()
                self._labelled = self._labelled or bool((label != ignore).any())
                check_values(label, classes, ignore, _name(sample))


def check_values(label: Tensor, classes: int, ignore: int, name: str) -> None:
    """Check that a label ``(1, H, W)`` holds 0 to ``classes - 1`` and ``ignore`` alone.

    Raises:
        InputError: it holds others.
    """
    outside = label[((label < 0) | (label >= classes)) & (label != ignore)]
    if outside.numel():
        raise InputError(
            f"The label {name} holds {', '.join(map(str, outside.unique().tolist()[:8]))}, but the model has "
            f"num_classes={classes}: allowed are 0 to {classes - 1}, and {ignore} for pixels to ignore. "
            f"Correct the labels, or num_classes; with --data DIR the classes are counted and set for you."
        )


def check_padding(network: Any, sizes: Sequence[Sequence[int]]) -> None:
    """Check that what labels are filled up with is ignored, where images of ``sizes`` (h, w) are filled up.

    Raises:
        InputError: it is neither ignored nor a class.
    """
    filler, ignore = getattr(network, "data_preprocessor", None), _ignore_index(network)
    value, classes = getattr(filler, "seg_pad_val", ignore), getattr(network, "num_classes", None)
    size, divisor = getattr(filler, "size", None), getattr(filler, "size_divisor", None) or 1
    grows = any(
        tuple(one) != tuple(size or sizes[0]) or one[0] % divisor or one[1] % divisor for one in sizes
    )
    if grows and classes is not None and value != ignore and not 0 <= value < classes:
        raise InputError(
            f"Images are filled up to one size, their labels with data_preprocessor.seg_pad_val={value}, but "
            f"decode_head.ignore_index={ignore} and there are {classes} classes. Write seg_pad_val={ignore}, "
            f"or leave ignore_index at {value} and name what your labels have for it by --data DIR "
            f"--ignore-label {ignore}."
        )


def _ignore_index(network: Any) -> int:
    heads = getattr(network, "decode_head", None)
    head = heads[-1] if isinstance(heads, torch.nn.ModuleList) else heads
    return int(getattr(head, "ignore_index", 255))


def check_size(label: Tensor, image: Tensor, sample: Any) -> None:
    """Check that a label ``(1, H, W)`` has the size of its image, as it is now or as it was read.

    Raises:
        InputError: it has another.
    """
    now, before = tuple(image.shape[-2:]), tuple(sample.get("ori_shape") or ())
    if tuple(label.shape[-2:]) not in (now, before):
        sizes = [f"{wide}x{high}" for high, wide in (label.shape[-2:], before or now)]
        raise InputError(
            f"The label {_name(sample)} is {sizes[0]}, its image {sizes[1]} (width x height, behind the "
            f"pipeline). Save labels pixel for pixel like the images."
        )


def _name(sample: Any) -> str:
    return _file(sample) or "of an image without a path"


def _file(sample: Any) -> str:
    return str(sample.get("seg_map_path") or sample.get("img_path") or "")
