"""What is measured of a trained net beside its metric: latency, size, and what it ran on."""

from __future__ import annotations

import platform
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from ..engine.evaluate import runner_for_test
from ..engine.timing import each_call
from ..tracing.cost import cost

RUNS, _WARM_UP = 100, 10
_PACKAGES = ("mmbackbones", "torch", "torchvision", "timm", "mmengine", "mmdet", "mmsegmentation", "numpy")


def measure(cfg: Config, checkpoint: Path) -> dict[str, Any]:
    """Latency of one image, parameters of the whole model, multiply-adds of its backbone.

    Args:
        cfg: of the run; it is used up.
        checkpoint: its weights.
    """
    cfg.test_dataloader.update(batch_size=1, num_workers=0, persistent_workers=False)
    cfg.test_dataloader.pop("prefetch_factor", None)
    with tempfile.TemporaryDirectory() as folder:
        runner = runner_for_test(cfg, checkpoint, Path(folder))
        network: Any = runner.network.eval()
        batch = next(iter(runner.test_dataloader))
        latency = latency_of(network, batch)
        inputs = batch["inputs"][0]
        params = sum(param.numel() for param in network.parameters())
        macs = cost(network.backbone, inputs.shape[0], tuple(inputs.shape[1:])).madds  # ends on meta
    return {"latency_ms": latency, "params": params, "macs": macs}


@torch.no_grad()
def latency_of(network: Any, batch: Any) -> dict[str, float]:
    """Wall time in ms of ``test_step`` on one batch, from the loaded image to the final boxes or labels."""
    seconds = each_call(lambda: network.test_step(batch), RUNS, _WARM_UP)
    p50, p95 = 1e3 * np.percentile(seconds, [50, 95])
    return {"p50": round(float(p50), 3), "p95": round(float(p95), 3), "runs": RUNS}


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
