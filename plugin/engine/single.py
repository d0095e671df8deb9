"""Batches of one image, of which batch norm has no statistics where a map is 1x1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from mmengine import dist
from torch.nn.modules.batchnorm import SyncBatchNorm, _BatchNorm
from torch.utils.data import DataLoader

from ..errors import InputError


class SeveralImagesBatchSampler:
    """The batches of another sampler without that of a single image.

    Args:
        batches: yields lists of indices, the last of one index.
    """

    def __init__(self, batches: Any) -> None:
        self.batches, self.sampler = batches, batches.sampler  # mmengine shuffles by `sampler`

    def __iter__(self) -> Iterator[list[int]]:
        return (batch for batch in self.batches if len(batch) > 1)

    def __len__(self) -> int:
        return len(self.batches) - 1


def without_single(loader: DataLoader, network: torch.nn.Module) -> tuple[DataLoader, str]:
    """``loader``, for a network with batch norms without the batch of one image that ends each epoch.

    Args:
        loader: of a training that counts epochs.
        network: as it trains.

    Returns:
        The loader to train with, and a note for the user, or ''.
    """
    batches: Any = loader.batch_sampler
    size, images = getattr(batches, "batch_size", 0), len(getattr(batches, "sampler", ()))
    ends_in_one = 1 < size < images and images % size == 1 and len(batches) * size > images  # all are used
    if not ends_in_one or not any(_uses_batch(module) for module in network.train().modules()):
        return loader, ""
    shorter: DataLoader = DataLoader(
        loader.dataset,
        batch_sampler=SeveralImagesBatchSampler(batches),
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        pin_memory=loader.pin_memory,
        timeout=loader.timeout,
        worker_init_fn=loader.worker_init_fn,
        multiprocessing_context=loader.multiprocessing_context,
        generator=loader.generator,
        prefetch_factor=loader.prefetch_factor,
        persistent_workers=loader.persistent_workers,
    )
    return shorter, (
        f"each epoch leaves one of {images} images out, each time another: it would be a batch of its own "
        f"({images} = {images // size} x {size} + 1), of which batch norm has no statistics"
    )


def refuse_single_values(network: torch.nn.Module) -> None:
    """Let a network's batch norms say what is wrong when they are to train on one value of each channel.

    That is one image whose map is 1x1, as behind global pooling; torch's own message does not say what to do.
    """
    for name, module in network.named_modules():
        if isinstance(module, _BatchNorm):
            module.register_forward_pre_hook(_Refusal(name))


class _Refusal:
    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        if _uses_batch(module) and inputs[0].numel() == inputs[0].size(1):
            raise InputError(
                f"'{self.name}' ({type(module).__name__}) cannot train on a batch of one image: its map is "
                f"1x1, one value of each channel, which has no variance. Train with --batch-size 2 or more "
                f"(and at least 2 images), or with norms that need no batch, as norm_cfg=dict(type='GN', "
                f"num_groups=8) or frozen ones, norm_eval=True."
            )


def _uses_batch(module: torch.nn.Module) -> bool:
    """Whether it normalises by the statistics of the batch of this process."""
    together = isinstance(module, SyncBatchNorm) and dist.get_world_size() > 1
    return isinstance(module, _BatchNorm) and module.training and not together
