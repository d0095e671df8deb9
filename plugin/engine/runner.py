"""mmengine's Runner for the command line: quiet console, safe and atomic checkpoints, any device."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner as _Runner
from torch.utils.data import DataLoader

from ..compose.configs import kind, task_of, walk
from ..errors import InputError
from ..weights.checkpoints import check_fits
from ..weights.files import read_checkpoint, read_for_mmengine, state_dict_of
from ..weights.loading import FOR_THE_USER, some, warn_user
from .checks import LabelCheckHook, check_channels, check_heads, check_label_bits, check_sync_bn, reason
from .plain_weights import save_plain
from .single import refuse_single_values, without_single
from .strides import watch_strides
from .workers import guard


class _Console(logging.Filter):
    """Errors, and what a load of weights left out; not mmengine's warnings of its own old spellings.

    An object of its own: loggers live as long as the process, and would keep a runner and its model.

    Attributes:
        mismatches: Whether what mmengine says of weights that do not match is shown, whole.
    """

    mismatches = True

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether ``record`` is for the console."""
        mismatch = self.mismatches and str(record.msg).startswith("The model and loaded state dict do not")
        return record.levelno >= logging.ERROR or mismatch or hasattr(record, FOR_THE_USER)


class Runner(_Runner):
    """Runs a config as mmengine does; messages go to the log file, the console gets what users must see."""

    #: What the user should be told before the first step.
    notes: tuple[str, ...] = ()
    _train_dataloader: Any

    @property
    def network(self) -> torch.nn.Module:
        """The model itself, without the wrapper for several processes."""
        network: torch.nn.Module = self.model.module if is_model_wrapper(self.model) else self.model
        return network

    def build_visualizer(self, visualizer: Any = None) -> Any:
        """As mmengine's, but no two runs share one: under a config's fixed name a second training in one
        process would log into the folder of the first."""
        if isinstance(visualizer, dict):
            visualizer = {**visualizer, "name": self.experiment_name}
        return super().build_visualizer(visualizer)

    def build_train_loop(self, loop: Any) -> Any:
        """As mmengine's; batch norms get no batch of a single image if it can be helped."""
        given = self._train_dataloader
        if isinstance(loop, dict) and isinstance(given, dict):
            refuse_single_values(self.network)
            if loop.get("by_epoch", kind(loop) == "EpochBasedTrainLoop"):
                spread = self._randomness_cfg.get("diff_rank_seed", False)
                loader = self.build_dataloader(given, seed=self.seed, diff_rank_seed=spread)
                self._train_dataloader, note = without_single(loader, self.network)
                self.notes = (note,) if note else ()
        try:
            return super().build_train_loop(loop)
        finally:
            self._train_dataloader = given

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        logger = super().build_logger(*args, **kwargs)
        self._console = _Console()
        for handler in logger.handlers:
            if type(handler) is logging.StreamHandler:
                handler.addFilter(self._console)
        return logger

    def save_checkpoint(self, out_dir: str, filename: str, *args: Any, **kwargs: Any) -> None:
        """As mmengine's, but a file has its name only when it is complete: an old one stays until then.

        One without the optimizer is not to go on from but to use, as the best one is: it gets weights alone.
        """
        part = f"{filename}.part"
        super().save_checkpoint(out_dir, part, *args, **kwargs)
        if self.rank == 0:
            written = Path(out_dir) / part
            if not kwargs.get("save_optimizer", True):
                save_plain(written, written)
            os.replace(written, Path(out_dir) / filename)

    @staticmethod
    def build_dataloader(*args: Any, **kwargs: Any) -> DataLoader:
        """As mmengine's, with workers that live until the training ends them."""
        return guard(_Runner.build_dataloader(*args, **kwargs))

    def load_or_resume(self) -> None:
        """As mmengine's; every checkpoint remembers the run that began the training."""
        super().load_or_resume()
        if "first_run" not in self.message_hub.runtime_info:
            self.message_hub.update_info("first_run", self.timestamp)

    @property
    def first_run(self) -> str:
        """Name of the log folder of the run that began this training."""
        return str(self.message_hub.get_info("first_run", self.timestamp))

    def dump_config(self) -> None:
        """Nothing: the command writes ``config.py``, without what belongs to one run only."""

    def load_checkpoint(self, filename: str, *args: Any, **kwargs: Any) -> Any:
        """As mmengine's, for ``load_from``; a file of which nothing fits is refused.

        Raises:
            InputError: missing, unreadable, more than data, or without a single fitting weight.
        """
        given, own = state_dict_of(read_checkpoint(filename)), self.network.state_dict()
        fits = [key for key, value in given.items() if key in own and own[key].shape == value.shape]
        if not fits:
            names = f"{some(given, 2)}; the model has {some(own, 2)}"
            raise InputError(f"load_from={filename}: none of its weights fits the model. It has {names}.")
        left = {
            "missing": [key for key in own if key not in given and not key.endswith("num_batches_tracked")],
            "of another shape": [key for key in given if key in own and own[key].shape != given[key].shape],
            "unexpected": [key for key in given if key not in own],
        }
        if any(left.values()):
            parts = [f"{what}: {some(names)}" for what, names in left.items() if names]
            warn_user(f"load_from={filename}: {len(fits)} tensors loaded; {'; '.join(parts)}")
        self._console.mismatches = False  # it would list every name
        try:
            return super().load_checkpoint(filename, *args, **kwargs)
        finally:
            self._console.mismatches = True

    def check_resume(self, path: Path) -> None:
        """Check that a training can go on from a checkpoint, before the data is read.

        Raises:
            InputError: unreadable, of another model, or without the state of a training.
        """
        checkpoint = read_checkpoint(path)
        check_fits(self.network, checkpoint, path)
        if not {"message_hub", "optimizer", "meta"} <= checkpoint.keys():
            raise InputError(
                f"Checkpoint {path} has weights but no optimizer state, so training cannot go on from it. "
                f"Take an epoch_*.pth or iter_*.pth, or start anew with --cfg-options load_from={path}."
            )


def choose_device(device: str | None) -> str:
    """Make mmengine use ``device``: 'cpu', 'cuda', 'cuda:1' ...; None takes what there is.

    Raises:
        InputError: unknown or not available.
    """
    import mmengine.device.utils as mmengine_device

    if device is None:
        return str(mmengine_device.DEVICE)
    try:
        parsed = torch.device(device)
    except RuntimeError as error:
        raise InputError(f"--device '{device}' is no device; use cpu, cuda or cuda:<number>.") from error
    if parsed.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (parsed.index or 0) >= count:
            found = f"{count} CUDA devices" if count else "no CUDA device"
            raise InputError(f"--device {device} is not available: torch sees {found}. Use --device cpu.")
        if parsed.index is not None:
            torch.cuda.set_device(parsed.index)
    elif parsed.type != "cpu":
        raise InputError(f"--device {device} is not supported; use cpu, cuda or cuda:<number>.")
    mmengine_device.DEVICE = parsed.type
    return parsed.type


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
        for _, node in walk(cfg.model):
            if kind(node) in ("SyncBN", "MMSyncBN"):
                node["type"] = "BN"
    else:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo" if device == "cpu" else "nccl")
    return torch.distributed.get_world_size()


def stop_processes() -> None:
    """Leave the group of processes, if there is one."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def prepare_work_dir(path: Path, option: str = "--work-dir") -> Path:
    """Make the folder and check that it can be written to.

    Raises:
        InputError: no right or no space to write.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path) as probe:  # of its own: all processes do this at once
            probe.write(b"\0" * 4096)
            probe.flush()
    except OSError as error:
        raise InputError(
            f"{option} {path} cannot be written: {error.strerror or error}. Choose another folder."
        ) from error
    return path


def build_runner(cfg: Config) -> Runner:
    """The runner of a resolved config.

    Raises:
        InputError: a type or an argument in the config is unknown, or parts of the model do not fit.
    """
    read_for_mmengine()
    check_heads(cfg.model)
    check_label_bits(cfg)
    try:
        runner = Runner.from_cfg(cfg)
    except InputError:
        raise
    except (KeyError, TypeError, ImportError, ValueError, AssertionError) as error:
        raise InputError(f"The config cannot be built: {reason(error)}") from error
    check_channels(cfg.model, runner.network)
    check_sync_bn(cfg.get("sync_bn"), runner.network)
    if task_of(cfg) == "segmentation":
        runner.register_hook(LabelCheckHook())
    else:
        watch_strides(runner.network)
    return runner


@contextlib.contextmanager
def library_output_to_log() -> Iterator[None]:
    """Send what libraries print (COCO's tables, for one) to mmengine's current log file."""
    with contextlib.redirect_stdout(_LogStream()):
        yield


class _LogStream(io.TextIOBase):
    def write(self, text: str) -> int:
        if text.strip():
            MMLogger.get_current_instance().info(text.rstrip())
        return len(text)
