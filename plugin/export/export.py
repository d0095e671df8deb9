"""From a config and a checkpoint to files, and from files to figures."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor

from ..compose.channels import channels_read
from ..compose.configs import walk
from ..compose.scale import reference_scale
from ..engine.evaluate import runner_for_test
from ..engine.load import load_trained
from ..engine.report import main_figures, numbers
from ..engine.runner import library_output_to_log
from ..errors import InputError, need
from .folder import MODEL, check_folder, resizing, write_folder
from .graph import ExportNet
from .onnx_file import quantise, write_onnx
from .openvino_file import write_openvino
from .session import OnnxModel, fill, raw_images, seconds

Figures = dict[str, dict[str, float]]


def export(
    cfg: Config,
    checkpoint: Path,
    target: Path,
    *,
    dynamic: bool = False,
    int8: int = 0,
    nms: bool = False,
    openvino: bool = False,
) -> dict[str, Path]:
    """Write the model of ``cfg`` with the weights of ``checkpoint``.

    Args:
        cfg: A config, with its data where ``int8`` is asked; not changed.
        checkpoint: Weights.
        target: A folder for ``model.onnx`` with ``model.json`` and ``run.py``; or the ``.onnx`` file alone.
        dynamic: Images of any size.
        int8: Write ``<target>_int8.onnx`` too, with ranges from so many training images.
        nms: Choose boxes inside the file; models of two stages do in any case.
        openvino: Write ``<target>_openvino.xml`` and with ``int8`` ``<target>_openvino_int8.xml`` too.

    Returns:
        The models by what they are: ``onnx``, ``int8``, ``openvino``, ``openvino int8``.

    Raises:
        InputError: the model cannot be exported, or the checkpoint does not fit.
    """
    need(*["openvino"] * openvino, *["nncf"] * bool(openvino and int8))  # before the work
    model, meta = load_trained(cfg, checkpoint)
    net = ExportNet(model, nms)
    size = _size(cfg, model)
    folder = target if target.suffix != ".onnx" else None
    if folder is not None:
        if net.channels != 3 and channels_read(cfg) is None:
            raise InputError(
                f"run.py reads photos, of 3 channels, but the model takes {net.channels}: export it alone "
                f"with --out model.onnx."
            )
        check_folder(folder)
        resizing(cfg)  # before the work
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / MODEL
    write_onnx(net, target, size, classes=meta.get("classes", ()), dynamic=dynamic)
    files = {"onnx": target}
    if folder is not None:
        write_folder(folder, net, cfg, meta.get("classes", ()), None if dynamic else size)
    seen = partial(_calibration, cfg, int8, None if dynamic else size, net)
    if int8:
        files["int8"] = target.with_name(f"{target.stem}_int8.onnx")
        quantise(target, files["int8"], seen())
    if openvino:
        files["openvino"] = target.with_name(f"{target.stem}_openvino.xml")
        write_openvino(target, files["openvino"])
    if openvino and int8:
        files["openvino int8"] = target.with_name(f"{target.stem}_openvino_int8.xml")
        write_openvino(target, files["openvino int8"], seen())
    return files


def measure(cfg: Config, checkpoint: Path, files: dict[str, Path], accuracy: bool, runs: int = 20) -> Figures:
    """Size in MB and milliseconds for one image of each file, on this machine's CPU with torch's threads.

    With ``accuracy`` also the main figures (mAP, mIoU) on the config's validation data, of torch too.
    """
    rows: Figures = {}
    model, _ = load_trained(cfg, checkpoint)
    image = torch.rand(1, ExportNet(model).channels, *_size(cfg, model)) * 255
    if accuracy:
        rows["torch"] = main_figures(_evaluate(cfg, checkpoint, None))
    times = seconds({what: OnnxModel(path, model) for what, path in files.items()}, image, runs)
    for what, path in files.items():
        parts = [path, *([path.with_suffix(".bin")] if path.suffix == ".xml" else [])]
        rows[what] = {"MB": sum(part.stat().st_size for part in parts) / 1e6, "ms": 1e3 * times[what]}
        if accuracy:
            rows[what] |= main_figures(_evaluate(cfg, checkpoint, path))
    return rows


def _size(cfg: Config, model: Any) -> tuple[int, int]:
    """Height and width of the config's images, filled up to what the model wants.

    Raises:
        InputError: the config resizes to no size.
    """
    scale = reference_scale(cfg)
    if scale is None:
        raise InputError("The config's test pipeline resizes to no size; give --img-scale WIDTHxHEIGHT.")
    by = max(32, getattr(model.data_preprocessor, "pad_size_divisor", 1) or 1)
    if min(scale) < 32:
        raise InputError(f"The config's image size {scale} is too small; give --img-scale WIDTHxHEIGHT.")
    exact = getattr(model.data_preprocessor, "pad_size_divisor", 1) == 1 and hasattr(model, "bbox_head")
    return (scale[1], scale[0]) if exact else (-(-scale[1] // by) * by, -(-scale[0] // by) * by)


def _calibration(cfg: Config, count: int, size: tuple[int, int] | None, net: ExportNet) -> Iterator[Tensor]:
    """Training images behind the test pipeline, (1, C, H, W)."""
    from mmengine.registry import DATASETS

    wrapped = copy.deepcopy(cfg.train_dataloader.dataset)
    test = next(node for _, node in walk(cfg.test_dataloader.dataset) if "pipeline" in node)
    own = next(node for _, node in walk(wrapped) if "pipeline" in node and "dataset" not in node)
    own["pipeline"] = copy.deepcopy(test["pipeline"])
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools tells what it reads
        dataset = DATASETS.build(own)
    for image in raw_images(dataset, count):
        yield fill(image, size, net.pad_value(), net.multiple)


def _evaluate(cfg: Config, checkpoint: Path, file: Path | None) -> dict[str, float]:
    """The figures of the config's evaluator, of the model in torch or of its file."""
    own = copy.deepcopy(cfg)
    own.pop("custom_hooks", None)  # they are of the training
    with TemporaryDirectory() as folder:
        # mmengine keeps drawers by name, with the folder that the first of the name was made for.
        own.visualizer = {"type": "Visualizer", **(own.get("visualizer") or {}), "name": folder}
        runner = runner_for_test(own, checkpoint, Path(folder))
        if file is not None:
            runner.model = OnnxModel(file, runner.network.eval())
        with library_output_to_log():
            return numbers(runner.test())
