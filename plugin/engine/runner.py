"""mmengine's Runner for the command line: quiet console, safe and atomic checkpoints, any device."""

from __future__ import annotations

import contextlib
import io
import itertools
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner as _Runner
from torch.utils.data import DataLoader

from ..compose.building import building
from ..compose.configs import kind, task_of
from ..errors import InputError
from ..surgery.depthwise import take_quick_gradients
from ..weights.checkpoints import by_our_names, check_fits, differences
from ..weights.files import read_checkpoint, read_for_mmengine, state_dict_of
from ..weights.loading import FOR_THE_USER, some, warn_user
from .checks import check_channels, check_heads, check_label_bits, check_sync_bn
from .compiling import compile_parts
from .label_checks import LabelCheckHook
from .layout import join_norms, take_fused_steps, use_faster_format
from .plain_weights import save_plain
from .single import refuse_single_values, without_single
from .strides import watch_strides
from .workers import guard, note_of


class _Console(logging.Filter):
    """Errors, and what a load of weights left out; not mmengine's warnings of its own old spellings, nor the
    error of an evaluation that found nothing, which the commands say themselves.

    An object of its own: loggers live as long as the process, and would keep a runner and its model.

    Attributes:
        mismatches: Whether what mmengine says of weights that do not match is shown, whole.
    """

    mismatches = True

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether ``record`` is for the console."""
        if str(record.msg) == "The testing results of the whole dataset is empty.":
            return False
        mismatch = self.mismatches and str(record.msg).startswith("The model and loaded state dict do not")
        return record.levelno >= logging.ERROR or mismatch or hasattr(record, FOR_THE_USER)


class OnceFormatted(Config):
    """A config whose text is put together of its keys' texts, each of them formatted once in a process.

    mmengine asks for the text at every checkpoint, and yapf takes half a second for the whole.

    Attributes:
        texts: What yapf has made of which text.
    """

    texts: ClassVar[dict[str, str]] = {}

    @classmethod
    def of(cls, cfg: Config) -> OnceFormatted:
        """``cfg`` itself, with such a text."""
        made = cls.__new__(cls)
        made.__dict__.update(cfg.__dict__)
        return made

    @property
    def pretty_text(self) -> str:
        """The content as Python."""
        return "".join(self._text_of(key, value) for key, value in sorted(self.to_dict().items()))

    @classmethod
    def _text_of(cls, key: str, value: Any) -> str:
        plain = Config({key: value}, format_python_code=False).pretty_text
        if plain not in cls.texts:
            cls.texts[plain] = Config({key: value}).pretty_text
        return cls.texts[plain]


_RUNS = itertools.count(1)  # of this process


class Runner(_Runner):
    """Runs a config as mmengine does; messages go to the log file, the console gets what users must see."""

    #: What the console says before the first step.
    notes: tuple[str, ...] = ()
    #: Why a training ended before its time; empty where it did not.
    stopped_early: str = ""
    _train_dataloader: Any

    @property
    def network(self) -> torch.nn.Module:
        """The model itself, without the wrapper for several processes."""
        network: torch.nn.Module = self.model.module if is_model_wrapper(self.model) else self.model
        return network

    @property
    def _experiment_name(self) -> str:
        """The run's name, by which mmengine finds default scope, log, history and pictures. It ends with the
        second: a run that begins in the same one would share those of the first, so a number follows."""
        return self._numbered_name

    @_experiment_name.setter
    def _experiment_name(self, name: str) -> None:
        self._numbered_name = f"{name}_{next(_RUNS)}"

    def build_visualizer(self, visualizer: Any = None) -> Any:
        """As mmengine's, but no two runs share one: under a config's fixed name a second training in one
        process would log into the folder of the first."""
        if isinstance(visualizer, dict):
            visualizer = {**visualizer, "name": self.experiment_name}
        return super().build_visualizer(visualizer)

    def wrap_model(self, model_wrapper_cfg: Any, model: torch.nn.Module) -> Any:
        """As mmengine's, in the faster memory format: a wrapper lays its own copies out as the weights."""
        use_faster_format(model, get_device())
        return super().wrap_model(model_wrapper_cfg, model)

    def build_optim_wrapper(self, optim_wrapper: Any) -> Any:
        """As mmengine's, with steps in one pass where torch has them."""
        built = super().build_optim_wrapper(optim_wrapper)
        take_fused_steps(built)
        return built

    def _maybe_compile(self, target: str) -> None:
        """``compile`` of the config: mmengine would compile ``target``, a whole step, for each size anew."""
        if why_not := compile_parts(self.network, self.cfg.get("compile")):
            warn_user(why_not)

    def build_train_loop(self, loop: Any) -> Any:
        """As mmengine's. Batch norms get no batch of a single image if it can be helped, and constant ones no
        pass of their own, which a compiler would spare too; depthwise convolutions get quick gradients."""
        given = self._train_dataloader
        take_quick_gradients(self.network)
        if not self.cfg.get("compile"):
            join_norms(self.network)
        if isinstance(loop, dict) and isinstance(given, dict):
            refuse_single_values(self.network)
            if loop.get("by_epoch", kind(loop) == "EpochBasedTrainLoop"):
                spread = self._randomness_cfg.get("diff_rank_seed", False)
                loader = self.build_dataloader(given, seed=self.seed, diff_rank_seed=spread)
                self._train_dataloader, note = without_single(loader, self.network)
                self.notes = (note,) if note else ()
        try:
            built = super().build_train_loop(loop)
        finally:
            self._train_dataloader = given
        if note := note_of(built.dataloader):
            self.notes = (*self.notes, note)
        return built

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """As mmengine's, with a filter for the console."""
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

        A backbone of OpenMMLab's own is read by the names of ours.

        Raises:
            InputError: missing, unreadable, more than data, without a single fitting weight, or with another
                backbone.
        """
        content, own = read_checkpoint(filename), self.network.state_dict()
        given = by_our_names(self.network, content, f"load_from={filename}")
        fits = [key for key, value in given.items() if key in own and own[key].shape == value.shape]
        if not fits:
            names = f"{some(given, 2)}; the model has {some(own, 2)}"
            raise InputError(f"load_from={filename}: none of its weights fits the model. It has {names}.")
        missing, unexpected, other = differences(own, given)
        missing = [key for key in missing if not key.endswith("num_batches_tracked")]
        left = {"missing": missing, "of another shape, left out": other, "unexpected": unexpected}
        if any(left.values()):
            parts = [f"{what}: {some(names)}" for what, names in left.items() if names]
            warn_user(f"load_from={filename}: {len(fits)} tensors loaded; {'; '.join(parts)}")
        self._console.mismatches = False  # it would list every name
        self._renamed = given
        try:
            return super().load_checkpoint(filename, *args, **kwargs)
        finally:
            self._console.mismatches = True
            del self._renamed

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        """As mmengine's; the hooks of a checkpoint, and what reads it after them, see our names."""
        if fn_name == "after_load_checkpoint":
            kwargs["checkpoint"]["state_dict"] = self._renamed
        super().call_hook(fn_name, **kwargs)

    def check_resume(self, path: Path) -> None:
        """Check that a training can go on from a checkpoint, before the data is read.

        Raises:
            InputError: unreadable, of another model, or without the state of a training.
        """
        checkpoint = read_checkpoint(path)
        own, given = self.network.state_dict().keys(), state_dict_of(checkpoint, path)
        if own - given.keys() and not own - by_our_names(self.network, checkpoint, path).keys():
            raise InputError(
                f"Checkpoint {path} has OpenMMLab's names for the weights of this model: a training goes on "
                f"from its own checkpoints only. Start anew from it with --cfg-options load_from={path}."
            )
        check_fits(self.network, checkpoint, path)
        if not {"message_hub", "optimizer", "meta"} <= checkpoint.keys():
            raise InputError(
                f"Checkpoint {path} has weights but no optimizer state, so training cannot go on from it. "
                f"Take an epoch_*.pth or iter_*.pth, or start anew with --cfg-options load_from={path}."
            )


def build_runner(cfg: Config) -> Runner:
    """The runner of a resolved config.

    Raises:
        InputError: a type or an argument in the config is unknown, or parts of the model do not fit.
    """
    read_for_mmengine()
    check_heads(cfg.model)
    check_label_bits(cfg)
    with building():
        runner = Runner.from_cfg(OnceFormatted.of(cfg))
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
