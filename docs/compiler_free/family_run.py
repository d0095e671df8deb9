"""One line of the table of ``families.py``: build a family's model, predict a random image with it.

``python docs/compiler_free/family_run.py PACKAGE FAMILY TURN`` prints one JSON object.
"""

from __future__ import annotations

import copy
import json
import re
import sys
import tempfile
import time
from importlib import import_module
from importlib.metadata import version
from typing import Any

import torch
from families import candidates

from mmbackbones.weights.named import without_weights

SIZE = (224, 256)  # not square, and a multiple of 32
SIZES = {"SSDVGG": (300, 300)}  # by backbone, where it needs its own
OWN_WEIGHTS = ("SideAdapterCLIPHead",)  # heads whose init_weights works with a checkpoint only


def run(package: str, family: str, turn: int) -> dict[str, Any]:
    """What the table says of one config: ``builds``, ``forward``, and the ``reason`` where one is missing."""
    names = ("torch", "torchvision", "mmcv-lite", "mmdet", "mmsegmentation")
    row: dict[str, Any] = {"versions": {name: version(name) for name in names}}
    start = time.perf_counter()
    try:
        row["config"], cfg = pick(package, family, turn)
        if isinstance(cfg, Exception):
            raise cfg
        model, video = build(package, cfg)
        row["parameters"] = sum(p.numel() for p in model.parameters())
        row["builds"] = True
        predict(model, package, cfg, video, row)
        row["forward"] = True
    except Exception as error:  # any failure is a result here, and is shown in the table
        row["reason"] = reason(error)
    row["seconds"] = round(time.perf_counter() - start, 1)
    return row


def pick(package: str, family: str, turn: int) -> tuple[str, Any]:
    """Name and content of the family's config number ``turn``, or why it cannot be read.

    Files without a model, which hold data or categories only, do not count.
    """
    from mmengine.config import Config

    for file in candidates(package, family):
        try:
            cfg = Config.fromfile(file)
        except Exception as error:
            cfg = error
        turn -= isinstance(cfg, Exception) or "type" in cfg.get("model", {})
        if turn < 0:
            return file.name, cfg
    raise LookupError("no config with a model")


def build(package: str, cfg: Any) -> tuple[Any, bool]:
    """The model in eval mode, with random weights, and whether it takes clips instead of images."""
    from mmengine.model import revert_sync_batchnorm
    from mmengine.registry import init_default_scope

    init_default_scope(cfg.get("default_scope", package))
    for name in ("models", "structures", "datasets"):
        import_module(f"{package}.{name}")
    from mmengine.registry import MODELS

    torch.manual_seed(0)
    model = MODELS.build(without_weights(cfg.model))
    if cfg.model.get("decode_head", {}).get("type") not in OWN_WEIGHTS:
        model.init_weights()
    video = cfg.model.get("data_preprocessor", {}).get("type") == "TrackDataPreprocessor"
    model = revert_sync_batchnorm(model)
    model.eval()  # returns None in some of mmdet's detectors
    return model, video


def predict(model: Any, package: str, cfg: Any, video: bool, row: dict[str, Any]) -> None:
    """Predict a random image, of the config's own size if a small one fails; its size goes to ``row``."""
    own = tuple(cfg.model.get("data_preprocessor", {}).get("size") or SIZE)
    backbone = cfg.model.get("backbone", {}).get("type")
    for size in sorted({SIZES.get(backbone, SIZE), own}):
        row["image"] = f"{size[0]}x{size[1]}"
        given = batch(package, size, video, proposals=cfg.model.type == "FastRCNN")
        try:
            with torch.no_grad():
                model.test_step(given)
            return
        except Exception as error:
            failure = error
    with torch.no_grad():
        row["network"] = runs(model, given)
    raise failure


def runs(model: Any, given: dict[str, Any]) -> bool:
    """Whether the network alone gives its outputs; trackers, which have no such mode, give False."""
    try:
        model(**model.data_preprocessor(copy.deepcopy(given), False), mode="tensor")
    except Exception:  # the reason is test_step's, which failed before
        return False
    return True


def batch(package: str, size: tuple[int, int], video: bool, proposals: bool) -> dict[str, Any]:
    """What a data loader would hand to ``model`` for one random image, or for a clip of two."""
    frames = torch.randint(0, 256, (2 if video else 1, 3, *size), dtype=torch.uint8)
    meta = {
        "img_shape": size,
        "ori_shape": size,
        "pad_shape": size,
        "batch_input_shape": size,
        "scale_factor": (1.0, 1.0),
        "flip": False,
        "border": (0, size[0], 0, size[1]),
        "img_id": 0,
        "img_path": "random.png",
    }
    if package == "mmseg":
        from mmseg.structures import SegDataSample

        return {"inputs": [frames[0]], "data_samples": [SegDataSample(metainfo=meta)]}
    if video:
        from mmdet.structures import TrackDataSample

        places = [meta | {"frame_id": i, "video_length": 2, "video_id": 0} for i in range(2)]
        clip = [sample(place, proposals) for place in places]
        return {"inputs": [frames], "data_samples": [TrackDataSample(video_data_samples=clip)]}
    return {"inputs": [frames[0]], "data_samples": [sample(meta, proposals)]}


def sample(meta: dict[str, Any], proposals: bool) -> Any:
    """One image's annotations for mmdet: a text to ground, and proposals where no RPN makes them."""
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    found = DetDataSample(metainfo=meta | {"text": "a cat . a dog .", "custom_entities": False})
    if proposals:
        height, width = meta["img_shape"]
        boxes = [[8.0, 8, width / 2, height / 2], [width / 4, height / 4, width - 8, height - 8]]
        found.proposals = InstanceData(bboxes=torch.tensor(boxes), scores=torch.tensor([0.9, 0.8]))
    return found


def reason(error: BaseException) -> str:
    """The error in one line: a missing package by name, the last cause otherwise."""
    if isinstance(error, ModuleNotFoundError):
        return f"needs the package {error.name}"
    text = " ".join(str(error).split()).split(", the current sys.path")[0]
    text = re.sub(r"/\S*/", "", text)  # no folders of this machine
    return f"{type(error).__name__}: {text[:180]}"


def main(package: str, family: str, turn: str = "0") -> None:
    """Measure in a process group of one, which ``MMSyncBN`` wants, and print the row."""
    with tempfile.TemporaryDirectory() as folder:
        torch.distributed.init_process_group("gloo", f"file://{folder}/rendezvous", rank=0, world_size=1)
        sys.stdout.write("\n" + json.dumps(run(package, family, int(turn))) + "\n")
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
