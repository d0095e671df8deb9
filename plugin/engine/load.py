"""A trained model to ask in Python: ``mmbackbones.load``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from ..compose.building import building
from ..compose.configs import load_config, retype
from ..errors import InputError
from ..weights.checkpoints import load_model
from ..weights.files import read_for_mmengine
from ..weights.named import without_weights
from .devices import check_device
from .layout import use_faster_format
from .predictions import Predictor

_BEST = ("best.pth", "last.pth")


def load(
    path: str | Path,
    config: str | Path | None = None,
    *,
    device: str | None = None,
    score_thr: float = 0.3,
) -> Predictor:
    """A trained detector or segmenter, to be called on images::

        model = mmbackbones.load("work")
        found = model("photo.jpg")  # or an array (height, width, 3), RGB; or a list of either
        found.boxes, found.scores, found.names, found.plot()

    Args:
        path: the folder of a training, of which ``best.pth`` is taken, else ``last.pth``; before its end
            what was best so far, else what was saved last. Or a checkpoint.
        config: of the checkpoint: a file, or a name as on the command line; None for the ``config.py``
            beside it.
        device: ``cpu``, ``cuda`` or ``cuda:<number>``; None takes a GPU if there is one.
        score_thr: boxes with a lower score are left out.

    Raises:
        InputError: no such folder, checkpoint, config or device, or they do not fit together.
    """
    given = Path(path).expanduser()
    checkpoint = _weights_in(given) if given.is_dir() else given
    if checkpoint is None or not checkpoint.is_file():
        raise InputError(
            f"There is no {' or '.join(_BEST)} in {given}, nor a checkpoint of a training that runs or was "
            f"stopped; give the folder of a training, or a checkpoint."
            if given.is_dir()
            else f"There is no folder and no checkpoint {given}."
        )
    beside = checkpoint.with_name("config.py")
    if config is None and not beside.is_file():
        raise InputError(f"There is no config.py beside {checkpoint}: give config=, a file or a name.")
    if not 0 <= score_thr <= 1:
        raise InputError(f"score_thr={score_thr} must lie between 0 and 1.")
    where = check_device(device, "device")
    return load_predictor(load_config(str(config or beside)), checkpoint, str(where), score_thr)


def _weights_in(folder: Path) -> Path | None:
    """The best weights in the folder of a training that has ended, runs, or was stopped; None without any."""
    for name in _BEST:
        if (folder / name).is_file():
            return folder / name
    best = sorted(folder.glob("best_*.pth"), key=lambda path: path.stat().st_mtime)
    if best:
        return best[-1]
    last = folder / "last_checkpoint"  # mmengine's: a path, of before the folder was moved
    return folder / Path(last.read_text().strip()).name if last.is_file() else None


def load_predictor(cfg: Config, checkpoint: Path, device: str, score_thr: float) -> Predictor:
    """The model of ``cfg`` with the weights of ``checkpoint``, on ``device``.

    Classes come from the checkpoint, else from the config's own data set.

    Raises:
        InputError: the model cannot be built, the checkpoint is unreadable or of another model, or nobody
            names the classes.
    """
    from mmengine.registry import DATASETS

    model, meta = load_trained(cfg, checkpoint)
    if not (meta.get("classes") or meta.get("CLASSES")):
        dataset = (cfg.get("test_dataloader") or {}).get("dataset") or {}
        meta = dataset.get("metainfo") or getattr(DATASETS.get(dataset.get("type")), "METAINFO", {})
    if not (meta.get("classes") or meta.get("CLASSES")):
        raise InputError(
            f"Neither {checkpoint} nor the config names the classes; add metainfo=dict(classes=...)."
        )
    use_faster_format(model, torch.device(device).type)
    return Predictor(model.to(device), cfg, score_thr, meta)


def load_trained(cfg: Config, checkpoint: Path) -> tuple[Any, dict[str, Any]]:
    """The model in eval mode on the CPU, and what the checkpoint says of its data.

    Raises:
        InputError: the model cannot be built, or the checkpoint is unreadable or of another model.
    """
    from mmengine.registry import MODELS, init_default_scope

    read_for_mmengine()
    init_default_scope(cfg.default_scope)
    model_cfg = without_weights(cfg.model)  # the checkpoint has all weights
    retype(model_cfg, ["SyncBN", "MMSyncBN"], "BN")
    with building():
        model = MODELS.build(model_cfg)
    meta = load_model(model, checkpoint).get("dataset_meta") or {}
    return model.eval(), dict(meta)
