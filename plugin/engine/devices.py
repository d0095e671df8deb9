"""The device that a run computes on, and the processes that share it."""

from __future__ import annotations

import os
import time

import torch
from mmengine.config import Config

from ..compose.configs import retype
from ..errors import InputError


def choose_device(device: str | None) -> str:
    """Make mmengine use ``device``: 'cpu', 'cuda', 'cuda:1' ...; None takes what there is.

    Raises:
        InputError: unknown or not available.
    """
    import mmengine.device.utils as mmengine_device

    chosen = check_device(device)
    if chosen.type == "cuda" and chosen.index is not None:
        torch.cuda.set_device(chosen.index)
    mmengine_device.DEVICE = chosen.type
    return str(chosen.type)


def check_device(device: str | None, option: str = "--device") -> torch.device:
    """``device`` as torch has it; None is what mmengine found.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:<number>``.
        option: names it in the message.

    Raises:
        InputError: unknown or not available.
    """
    from mmengine.device.utils import DEVICE

    if device is None:
        return torch.device(DEVICE)
    try:
        parsed = torch.device(device)
    except RuntimeError as error:
        raise InputError(f"{option} '{device}' is no device; use cpu, cuda or cuda:<number>.") from error
    if parsed.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (parsed.index or 0) >= count:
            found = f"{count} CUDA devices" if count else "no CUDA device"
            raise InputError(f"{option} {device} is not available: torch sees {found}. Use {option} cpu.")
    elif parsed.type != "cpu":
        raise InputError(f"{option} {device} is not supported; use cpu, cuda or cuda:<number>.")
    return parsed


def start_processes(cfg: Config, launcher: str, device: str) -> int:
    """Join the processes that torchrun started; returns their number, 1 without a launcher.

    mmengine's own start takes a GPU for granted. Synchronised batch norm has no CPU form, so it
    becomes plain batch norm there.

    Raises:
        InputError: unknown launcher, or torchrun's environment is missing.
    """
    if launcher not in ("none", "pytorch"):
        raise InputError(f"--launcher '{launcher}' is not supported; use none or pytorch.")
    cfg.launcher = launcher
    if launcher == "none":
        # mmcv's cannot be built alone; of torch's mmengine makes plain ones.
        retype(cfg.model, ["MMSyncBN"], "SyncBN")
        return 1
    if "WORLD_SIZE" not in os.environ or "LOCAL_RANK" not in os.environ:
        raise InputError(
            "--launcher pytorch needs torchrun: `torchrun --nproc-per-node 2 -m mmbackbones.cli train CONFIG "
            "--launcher pytorch`."
        )
    if device == "cpu":
        cfg.model_wrapper_cfg = {
            "type": "MMDistributedDataParallel",
            "device_ids": None,
            "find_unused_parameters": cfg.get("find_unused_parameters", False),
            "broadcast_buffers": False,
        }
        retype(cfg.model, ["SyncBN", "MMSyncBN"], "BN")
    else:
        own, count = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if own >= count:
            raise InputError(
                f"There is a process for GPU {own}, and torch sees {count}: start {count} processes, or add "
                f"--device cpu."
            )
        torch.cuda.set_device(own)
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo" if device == "cpu" else "nccl")
    return torch.distributed.get_world_size()


def stop_processes() -> None:
    """Leave the group of processes, if there is one.

    Its destructor holds Python's lock while it waits for its thread, which needs that lock to let go of the
    last collective's tensors: torch 2.4 was seen to hang there for ever. A moment's sleep lends it the lock.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        time.sleep(0.1)
        torch.distributed.destroy_process_group()
