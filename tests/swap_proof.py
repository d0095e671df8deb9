"""Proof that swap changes nothing but the backbone: the same ResNet with copied weights gives the same."""

from __future__ import annotations

import copy
import re
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS
from swap_samples import packed, small
from torch import Tensor
from torch.overrides import TorchFunctionMode

from mmbackbones.compose.configs import kind
from mmbackbones.compose.expects import class_of, defaults
from mmbackbones.compose.swap import swap
from mmbackbones.weights.named import without_weights

#: The same networks, theirs and ours; the deep stem of V1c has other names at timm.
SAME = {("ResNet", 18): "resnet18", ("ResNet", 34): "resnet34", ("ResNet", 50): "resnet50"}
SAME |= {
    ("ResNet", 101): "resnet101",
    ("ResNetV1c", 50): "timm:resnet50c",
    ("ResNetV1c", 101): "timm:resnet101c",
}
_STEM = {"stem.0.": "conv1.0.", "stem.1.": "conv1.1.", "stem.3.": "conv1.3.", "stem.4.": "conv1.4."}
_STEM |= {"stem.6.": "conv1.6.", "stem.7.": "bn1."}
SIDE = 96


class StockError(Exception):
    """The stock model itself does not train or does not predict what it is given."""


class Double(TorchFunctionMode):
    """Where a model asks for single precision by name, it gets double precision."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.float:
            return args[0].double()
        if func is Tensor.view:  # bytes of a file, which has the precision that it has
            return func(*args, **(kwargs or {}))
        args = tuple(torch.float64 if one is torch.float32 else one for one in args)
        given = {key: torch.float64 if one is torch.float32 else one for key, one in (kwargs or {}).items()}
        return func(*args, **given)


def _part(cfg: Config) -> Any:
    return cfg.model if "backbone" in cfg.model else cfg.model.get("detector") or {}


def twin_of(cfg: Config) -> str | None:
    """The name of our net that is the base's backbone; None if there is none."""
    backbone = _part(cfg).get("backbone") or {}
    if backbone.get("conv_cfg"):  # standardised weights: another network
        return None
    return SAME.get((kind(backbone), backbone.get("depth", 0)))


def twins(cfg: Config, side: int = SIDE) -> tuple[Any, Any]:
    """The base's model and the swapped one with the same weights.

    What is no part of the exchange is made equal before: ``style='caffe'``, which timm's nets do not have,
    deformable convolutions, plugins, multi_grid, dilations beside strides, and what of norms swap leaves to
    the user.
    """
    scope = cfg.default_scope
    name = twin_of(cfg)
    assert name is not None
    backbone = _part(cfg).backbone
    for key in ("dcn", "stage_with_dcn", "plugins", "frozen_stages", "multi_grid"):
        backbone.pop(key, None)
    if all(stride == 2 for stride in backbone.get("strides", ())[1:]):
        backbone.pop("dilations", None)
    backbone.style = "pytorch"
    backbone.norm_cfg = dict(type="BN")
    own = defaults(class_of(backbone, scope))  # mmdet's keep their statistics, mmseg's do not
    backbone.setdefault("norm_eval", own["norm_eval"])
    new = swap(cfg, name, pretrained=False, norm_eval=backbone.norm_eval, norm_cfg=dict(type="BN"))
    models = []
    for one in (cfg, new):
        with MODELS.switch_scope_and_registry(scope) as registry:
            torch.manual_seed(0)
            plain = without_weights(small(one.model.to_dict(), side))
            models.append(registry.build(ConfigDict(plain)).double())
    state = {_ours(key): value for key, value in models[0].state_dict().items()}
    models[1].load_state_dict(state)
    for key, one in vars(models[0]).items():  # teachers, which hide from the model's state
        if isinstance(one, torch.nn.Module):
            vars(models[1])[key].load_state_dict(one.state_dict())
    return models[0], models[1]


def _ours(key: str) -> str:
    return re.sub(r"(?<=backbone\.)stem\.\d\.", lambda found: _STEM[found.group()], key)


def outcome(model: Any, batches: tuple[dict[str, Any], dict[str, Any]]) -> dict[str, Tensor]:
    """All losses of a training step, and what is predicted."""
    found: dict[str, Tensor] = {}
    train, test = copy.deepcopy(batches)  # heads write into samples
    torch.manual_seed(0)
    model.train()
    for key, value in model(**train, mode="loss").items():
        for number, one in enumerate(value if isinstance(value, (list, tuple)) else [value]):
            found[f"{key}.{number}"] = one.detach()
    model.eval()
    with torch.no_grad():
        for number, sample in enumerate(model(**test, mode="predict")):
            for frame in getattr(sample, "video_data_samples", [sample]):
                for name in (key for key in frame.all_keys() if key.startswith(("pred", "seg_logits"))):
                    part = frame.get(name)
                    for key, value in part.items() if hasattr(part, "items") else [("", part)]:
                        if torch.is_tensor(value):
                            found[f"{name}.{key}.{number}"] = value.double()
    return found


def difference(cfg: Config, side: int = SIDE) -> tuple[float, int]:
    """The largest difference of any loss or prediction, relative to its size where that is above 1, and how
    many numbers were compared."""
    torch.set_default_dtype(torch.float64)
    try:
        with Double():
            models = twins(cfg, side)
            batches = tuple(
                models[0].data_preprocessor(
                    packed(cfg.model, cfg.default_scope, (side, side), training=training), training
                )
                for training in (True, False)
            )
            try:
                old = outcome(models[0], batches)
            except Exception as error:  # random weights give some heads boxes that they cannot paste
                raise StockError(f"{type(error).__name__}: {error}") from error
            new = outcome(models[1], batches)
    finally:
        torch.set_default_dtype(torch.float32)
    assert any("loss" in key for key in old)
    assert any(key.startswith(("pred", "seg")) for key in old)
    assert old.keys() == new.keys()
    assert {key: value.shape for key, value in old.items()} == {
        key: value.shape for key, value in new.items()
    }
    far = [((old[key] - new[key]).abs() / old[key].abs().clamp(min=1)).nan_to_num(0.0) for key in old]
    largest = max((float(one.max()) for one in far if one.numel()), default=0.0)
    return largest, sum(one.numel() for one in far)
