"""Models with random weights, exported by the command; and a process that has nothing but the folder."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cases import SWEEP
from mmengine.config import Config
from test_compose import main_ok

from mmbackbones.compose.config_text import config_text
from mmbackbones.compose.configs import walk
from mmbackbones.compose.filling import compose
from mmbackbones.compose.fit import Settings, fit
from mmbackbones.compose.models import MODELS
from mmbackbones.engine.runner import build_runner
from mmbackbones.export.session import OnnxModel

BACKBONE = "mobilenetv3_small_050"
ONE_STAGE = ["retinanet", "ssdlite", "yolov4-tiny", "efficientdet-d0"]
TWO_STAGE = ["faster-rcnn", "mask-rcnn", "cascade-rcnn", "cascade-mask-rcnn"]
SEGMENTERS = ["deeplabv3plus", "upernet", "unetpp", "swiftnet", "bisenet"]
#: Model, and whether images may have any size. An export takes 10 to 20 seconds, of a segmenter for any size
#: more (of the real-time ones see test_heads_segmentation_export.py): `make test` takes one of each kind of
#: graph (any size: test_export_heads.py), `make sweep` all.
FEW = [("retinanet", False), ("swiftnet", False), ("mask-rcnn", False)]
EVERY = [(model, dynamic) for model in [*ONE_STAGE, *TWO_STAGE] for dynamic in (False, True)]
EVERY += [(model, True) for model in ["fcos", *SEGMENTERS]]
TRIED = EVERY if SWEEP else FEW


#: What an exported folder must not need.
BLOCKED = {"torch", "torchvision", "timm", "mmengine", "mmcv", "mmdet", "mmseg", "mmbackbones", "cv2"}


def awake(model: torch.nn.Module) -> None:
    """Statistics and weights as after some training, so that answers differ from cell to cell."""
    lot = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.copy_(0.1 * torch.randn(module.num_features, generator=lot))
                module.running_var.copy_(0.5 + torch.rand(module.num_features, generator=lot))
        heads = [getattr(model, name, None) for name in ("bbox_head", "rpn_head", "roi_head")]
        # Fresh heads give all boxes nearly one score: any order would do.
        for module in (module for head in heads if head is not None for module in head.modules()):
            if isinstance(module, (torch.nn.Conv2d, torch.nn.ConvTranspose2d, torch.nn.Linear)):
                module.weight.copy_(torch.randn(module.weight.shape, generator=lot))
                module.weight.mul_((2 / module.weight[0].numel()) ** 0.5)


def shrink(model: Any) -> None:
    """A config's two-stage model with few channels, and maps of two strides: its graph is half as long."""
    strides, few = [16, 32], 16
    model.backbone.out_indices = (2, 3)
    model.neck.update(in_channels=model.neck.in_channels[2:], out_channels=few, num_outs=len(strides))
    model.rpn_head.update(in_channels=few, feat_channels=few)
    model.rpn_head.anchor_generator.strides = strides
    for _, node in walk(model.roi_head):
        if "featmap_strides" in node:
            node.update(featmap_strides=strides, out_channels=few)
        if "fc_out_channels" in node:
            node.update(in_channels=few, fc_out_channels=32)
        if "num_convs" in node:
            node.update(in_channels=few, conv_out_channels=few, num_convs=1)


def trained(model: str, shapes: Path, folder: Path) -> tuple[Config, Path]:
    """A config with the generated data, and a checkpoint of random weights."""
    cfg, _ = compose(model, BACKBONE, pretrained=False)
    if model in TWO_STAGE:
        shrink(cfg.model)
    options = [f"{part}_dataloader.num_workers=0" for part in ("train", "val", "test")]
    settings = Settings(shapes, epochs=1, batch_size=2, img_scale="128x128", options=options)
    fit(cfg, settings, cache_dir=folder / "cache")
    if "roi_head" in cfg.model:
        cfg.model.test_cfg.rcnn.score_thr = 0.0
    elif MODELS[model].task == "detection" and "nms_pre" in cfg.model.test_cfg:  # random weights are unsure
        cfg.model.test_cfg.update(score_thr=0.0, conf_thr=-1, nms_pre=100_000, max_per_img=50)
    (folder / "config.py").write_text(config_text(cfg, []))
    cfg.work_dir = str(folder)
    runner = build_runner(cfg)
    runner.network.init_weights()
    awake(runner.network)
    classes = cfg.train_dataloader.dataset.metainfo.classes
    path = folder / "weights.pth"
    torch.save(
        {"state_dict": runner.network.state_dict(), "meta": {"dataset_meta": {"classes": classes}}}, path
    )
    return cfg, path


def batches(cfg: Config, checkpoint: Path, folder: Path) -> tuple[Any, list[Any]]:
    """The model in torch, and the validation data as its loop sees it."""
    from mmengine.runner import load_checkpoint

    cfg.work_dir = str(folder)
    runner = build_runner(cfg)
    load_checkpoint(runner.network, str(checkpoint))
    return runner.network.eval(), list(runner.build_dataloader(cfg.val_dataloader))


class Exported:
    """What the command made of a model with random weights, on the generated data."""

    def __init__(self, model: str, dynamic: bool, shapes: Path, folder: Path) -> None:
        self.segmenter = MODELS[model].task == "segmentation"
        self.cfg, self.checkpoint = trained(model, shapes, folder)
        self.folder = folder / "out"
        self.files = {"onnx": self.folder / "model.onnx", "int8": self.folder / "model_int8.onnx"}
        command = ["export", str(folder / "config.py"), str(self.checkpoint), "--data", str(shapes)]
        if dynamic:
            command += ["--dynamic"]
        elif model in ONE_STAGE:
            command += ["--int8", "--calibration-images", "3"]
        with contextlib.redirect_stdout(io.StringIO()) as said:
            main_ok([*command, "-o", str(self.folder)])
        self.said = said.getvalue()
        self.network, self.data = batches(self.cfg, self.checkpoint, folder / "run")

    def session(self, what: str = "onnx") -> OnnxModel:
        return OnnxModel(self.files[what], self.network)


def alone(program: str, *words: object) -> str:
    """What a program says in a process that has neither torch nor OpenMMLab, nor this package."""
    blocked = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED}:
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
"""
    done = subprocess.run(
        [sys.executable, "-c", blocked + program, *map(str, words)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def found_alone(folder: Path, images: list[Path], target: Path) -> Any:
    """What ``run.py`` gives of images in such a process: arrays, those of the first named ``boxes0`` ..."""
    program = (
        "import numpy, runpy; model = runpy.run_path(sys.argv[2])['Model'](); "
        "found = [model(path, 0.0) for path in sys.argv[3:]]; "
        "numpy.savez(sys.argv[1], **{f'{key}{k}': one[key] for k, one in enumerate(found) for key in one})"
    )
    alone(program, target / "found.npz", folder / "run.py", *images)
    return np.load(target / "found.npz")
