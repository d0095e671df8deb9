"""Runs a stage over many cases: forked processes of fifty, a time limit for each case, results in files."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable
from multiprocessing import connection
from pathlib import Path
from typing import Any

from distinct import CACHE

GROUP = 50  # cases in one process
PLACE = CACHE / "place"  # where the processes stand: what configs name by relative paths lies there


class TooLong(BaseException):
    """A case takes longer than it may: no ``except Exception`` on the way holds it."""


Stage = Callable[[str], dict[str, Any]]


def run(stage: Stage, todo: dict[str, str], folder: Path, seconds: int, jobs: int) -> None:
    """``stage`` of each case; ``todo`` has their keys, the names of their files, and names of configs."""
    folder.mkdir(parents=True, exist_ok=True)
    _furnish()
    _import()
    items = list(todo.items())
    groups = [items[start : start + GROUP] for start in range(0, len(items), GROUP)]
    fork = multiprocessing.get_context("fork")
    running: dict[int, tuple[multiprocessing.process.BaseProcess, list[tuple[str, str]]]] = {}
    while groups or running:
        while groups and len(running) < jobs:
            sys.stdout.write(f"{sum(map(len, groups))} of {len(items)} to begin\n")
            sys.stdout.flush()
            group = groups.pop(0)
            for key, _ in group:  # of an earlier judgement
                (folder / f"{key}.json").unlink(missing_ok=True)
            process = fork.Process(target=_work, args=(stage, group, folder, seconds))
            process.start()
            running[process.sentinel] = process, group
        for ended in connection.wait(list(running)):
            worker, group = running.pop(int(ended))  # type: ignore[arg-type]
            worker.join()
            if rest := _after_crash(worker.exitcode, group, folder):
                groups.append(rest)


def _after_crash(code: int | None, group: list[tuple[str, str]], folder: Path) -> list[tuple[str, str]]:
    """What is left of a group whose process ended early; the case at which it did gets that as its result."""
    left = [(key, name) for key, name in group if not (folder / f"{key}.json").is_file()]
    if left:
        key, name = left.pop(0)
        why = f"crash: the process ended with code {code}"  # minus the number of a signal
        text = json.dumps({"name": name, "stock": why, "error": why, "nets": {}}, indent=1)
        (folder / f"{key}.json").write_text(text)
    return left


def _work(stage: Stage, group: list[tuple[str, str]], folder: Path, seconds: int) -> None:
    """The cases of one process, one after the other."""
    from torch import distributed

    def stop(*_: Any) -> None:
        raise TooLong(f"more than {seconds} s")

    signal.signal(signal.SIGALRM, stop)
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    for key, name in group:
        signal.alarm(seconds)
        try:
            result = stage(name)
        except TooLong as error:
            result = {"stock": f"time: {error}", "error": f"time: {error}"}
        finally:
            signal.alarm(0)
        (folder / f"{key}.json").write_text(json.dumps({"name": name, **result}, indent=1))


def _import() -> None:
    """What all processes need, once, before they fork."""
    import mmseg.models  # noqa: F401
    import torch

    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)


def _furnish() -> None:
    """The configs by their relative names, and a text encoder of random weights with BERT's width."""
    from mmbackbones.compose.configs import config_folder

    PLACE.mkdir(parents=True, exist_ok=True)
    os.chdir(PLACE)
    if not Path("configs").exists():
        Path("configs").symlink_to(str(config_folder("mmdet")))
    bert = Path("bert-base-uncased")
    try:
        from transformers import BertConfig, BertModel
    except ImportError:
        return
    if not bert.exists():
        letters = "abcdefghijklmnopqrstuvwxyz0123456789"
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *".?,", *letters]
        words += [f"##{letter}" for letter in letters]
        BertModel(BertConfig(vocab_size=len(words), num_hidden_layers=2)).save_pretrained(bert)
        (bert / "vocab.txt").write_text("\n".join(words))
