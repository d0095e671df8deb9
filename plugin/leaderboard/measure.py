"""What is measured of a trained net beside its metric: latency, size, and what it ran on."""

from __future__ import annotations

import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from ..compose.configs import load_config
from ..compose.fit import load_here
from ..engine.evaluate import runner_for_test
from ..engine.runner import Runner
from ..engine.timing import in_turn, wait_for_gpu
from ..tracing.cost import cost

RUNS, _WARM_UP = 100, 10
_PARTS = 20  # runs that the parts of the latency are medians of
_PACKAGES = ("mmbackbones", "torch", "torchvision", "timm", "mmengine", "mmdet", "mmsegmentation", "numpy")


@contextmanager
def trained(cfg: Config, checkpoint: Path) -> Iterator[Runner]:
    """The model of a run with its weights and the test data, image by image.

    Args:
        cfg: of the run; it loses its training parts.
        checkpoint: its weights.
    """
    load_here(cfg.test_dataloader)
    cfg.test_dataloader.batch_size = 1
    with tempfile.TemporaryDirectory() as folder:
        yield runner_for_test(cfg, checkpoint, Path(folder))


def size_of(runner: Runner) -> dict[str, Any]:
    """Parameters of the whole model, multiply-adds of its backbone for one image.

    Args:
        runner: of :func:`trained`; the backbone is used up.
    """
    network: Any = runner.network.eval()
    inputs = next(iter(runner.test_dataloader))["inputs"][0]
    params = sum(param.numel() for param in network.parameters())
    macs = cost(network.backbone, inputs.shape[0], tuple(inputs.shape[1:])).madds  # ends on meta
    return {"params": params, "macs": macs}


def latency_of_runs(folders: Mapping[str, Path]) -> dict[str, dict[str, float]]:
    """:func:`latencies` of the models that runs have trained, each on the first test image.

    Args:
        folders: of the runs, by key.
    """
    with ExitStack() as stack:
        runners = {
            key: stack.enter_context(
                trained(load_config(str(folder / "config.py")), folder / "train" / "last.pth")
            )
            for key, folder in folders.items()
        }
        return latencies(
            {key: (one.network.eval(), next(iter(one.test_dataloader))) for key, one in runners.items()}
        )


@torch.no_grad()
def latencies(models: Mapping[str, tuple[Any, Any]]) -> dict[str, dict[str, float]]:
    """Wall time in ms of ``test_step`` on one batch, from the loaded image to the final boxes or labels.

    The models take turns, so that what else the machine does falls on all of them. Of the time ``pre`` is
    what comes before the network, ``post`` what comes after its last layer: medians.

    Args:
        models: a network and a batch, by name.
    """
    calls: dict[str, Callable[[], object]] = {
        name: partial(network.test_step, batch) for name, (network, batch) in models.items()
    }
    found = {}
    for name, seconds in in_turn(calls, RUNS, warm_up=_WARM_UP).items():
        p50, p95 = 1e3 * np.percentile(seconds, [50, 95])
        pre, post = 1e3 * np.median(_around(*models[name]), axis=0)
        parts = {"p50": p50, "p95": p95, "pre": pre, "post": post}
        found[name] = {**{part: round(float(value), 3) for part, value in parts.items()}, "runs": RUNS}
    return found


def _around(network: Any, batch: Any) -> list[tuple[float, float]]:
    """Seconds before the first and after the last layer, of some runs."""
    ran: list[Any] = []
    leaves = [module for module in network.modules() if not any(module.children())]
    handles = [leaf.register_forward_hook(lambda module, *_: ran.append(module)) for leaf in leaves]
    network.test_step(batch)
    for handle in handles:
        handle.remove()
    ends: list[float] = []

    def mark(*_: Any) -> None:
        wait_for_gpu()
        ends.append(time.perf_counter())

    handle = ran[-1].register_forward_hook(mark)
    found = []
    for _ in range(_PARTS):
        wait_for_gpu()
        start = time.perf_counter()
        data = network.data_preprocessor(batch, False)
        wait_for_gpu()
        ready = time.perf_counter()
        network._run_forward(data, mode="predict")
        wait_for_gpu()
        found.append((ready - start, time.perf_counter() - ends[-1]))
    handle.remove()
    return found


def surroundings(device: str) -> dict[str, Any]:
    """Versions, device, commit of this package and threads, as fields of a record."""
    return {
        "versions": {"python": platform.python_version(), **dict(_versions())},
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else f"cpu: {_processor()}",
        "commit": _commit(),
        "threads": torch.get_num_threads(),
    }


def _versions() -> list[tuple[str, str]]:
    found = []
    for package in _PACKAGES:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    """Of the checkout that this package is imported from; empty for an installed one."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return ""
    done = subprocess.run(["git", "-C", here, "rev-parse", "HEAD"], capture_output=True, text=True)
    return done.stdout.strip()
