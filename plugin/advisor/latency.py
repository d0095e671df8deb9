"""How long a model takes for one image: measured here and now."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ..compose.scale import parse_scale, reference_scale, set_scale
from ..engine.timing import each_call

if TYPE_CHECKING:
    from ..engine.predictions import Predictor

#: Runs before those that count, and how many count: at least, and until this many seconds are over.
_WARM_UP, _LEAST, _SECONDS = 2, 5, 1.0
#: Width and height of the image where a config resizes to none.
_USUAL = (1333, 800)


def measure(model: str, backbone: str, config: str, img_scale: str | None, device: str | None) -> float:
    """Milliseconds of a whole model for one image: normalisation, network, decoding of boxes or labels.

    The weights are random; reading and resizing the file are left out. Median at batch 1, on the wall.

    Args:
        model: As ``mmbackbones config --model`` takes it, or a config.
        backbone: A backbone's name.
        config: The shipped config of both; empty where there is none.
        img_scale: ``WIDTHxHEIGHT`` in pixels; None for the config's own in tests.
        device: As ``cpu``; None for a GPU if there is one.
    """
    import torch
    from mmengine.model import revert_sync_batchnorm
    from mmengine.registry import MODELS, init_default_scope

    from ..engine.devices import choose_device
    from ..engine.layout import use_faster_format
    from ..engine.predictions import Predictor

    where = torch.device(choose_device(device))
    cfg = _config(model, backbone, config)
    if img_scale is not None:
        set_scale(cfg, parse_scale(img_scale))
    init_default_scope(cfg.default_scope)
    net = revert_sync_batchnorm(MODELS.build(cfg.model))
    use_faster_format(net, where.type)  # as `mmbackbones predict` does
    predictor = Predictor(net.to(where), cfg)
    packed = _grey_image(predictor, reference_scale(cfg) or _USUAL)
    batch = {"inputs": [packed["inputs"]], "data_samples": [packed["data_samples"]]}
    with torch.inference_mode():
        seconds = each_call(lambda: predictor.model.test_step(batch), _LEAST, _WARM_UP, _SECONDS)
    return 1e3 * median(seconds)


def _grey_image(predictor: Predictor, size: tuple[int, int]) -> Any:
    """An image of ``size`` (width, height), as the model's test pipeline hands it on."""
    from PIL import Image

    with TemporaryDirectory() as folder:
        path = Path(folder) / "grey.png"
        Image.new("RGB", size, (128, 128, 128)).save(path)
        return predictor.pipeline({"img_path": str(path), "img_id": 0})


def _config(model: str, backbone: str, config: str) -> Any:
    from ..compose.configs import load_config
    from ..compose.filling import compose
    from ..compose.models import MODELS

    if config:
        return load_config(config)
    if model in MODELS:
        return compose(model, backbone, pretrained=False)[0]
    from ..compose.swap import swap

    return swap(load_config(model), backbone)
