"""Proof that swap changes nothing but the backbone: the same ResNet with copied weights gives the same."""

from __future__ import annotations

import copy
import re
from typing import Any, NamedTuple

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
    """The stock model itself neither trains nor predicts what it is given."""


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


class Compared(NamedTuple):
    """The largest difference of any loss or prediction, relative to its size where that is above 1; how many
    numbers were compared; what the stock model cannot do, by which of the two."""

    largest: float
    count: int
    lacking: dict[str, str]


def losses(model: Any, batch: dict[str, Any]) -> dict[str, Tensor]:
    """All losses of a training step."""
    torch.manual_seed(0)
    model.train()
    found = model(**copy.deepcopy(batch), mode="loss").items()  # heads write into samples
    return {
        f"{key}.{number}": one.detach()
        for key, value in found
        for number, one in enumerate(value if isinstance(value, (list, tuple)) else [value])
    }


def predictions(model: Any, batch: dict[str, Any]) -> dict[str, Tensor]:
    """All tensors that are predicted."""
    found: dict[str, Tensor] = {}
    model.eval()
    with torch.no_grad():
        for number, sample in enumerate(model(**copy.deepcopy(batch), mode="predict")):
            for frame in getattr(sample, "video_data_samples", [sample]):
                for name in (key for key in frame.all_keys() if key.startswith(("pred", "seg_logits"))):
                    part = frame.get(name)
                    for key, value in part.items() if hasattr(part, "items") else [("", part)]:
                        if torch.is_tensor(value):
                            found[f"{name}.{key}.{number}"] = value.double()
    return found


#: What is compared, and how the names of what has to be in it begin or what they hold.
PARTS = {"losses": (losses, "loss"), "predictions": (predictions, "pred|seg")}


def difference(cfg: Config, side: int = SIDE) -> Compared:
    """Losses of a training step and predictions of both; only one of these where the stock model fails at the
    other, as some do with random weights or by design.

    Raises:
        StockError: the stock model does neither.
    """
    old: dict[str, Tensor] = {}
    new: dict[str, Tensor] = {}
    lacking: dict[str, str] = {}
    torch.set_default_dtype(torch.float64)
    try:
        with Double():
            stock, swapped = twins(cfg, side)
            for part, (outcome, wanted) in PARTS.items():
                training = part == "losses"
                batch = packed(cfg.model, cfg.default_scope, (side, side), training=training)
                batch = stock.data_preprocessor(batch, training)
                try:
                    found = outcome(stock, batch)
                except Exception as error:  # random weights give some heads boxes that they cannot paste
                    lacking[part] = f"{type(error).__name__}: {error}"
                    continue
                assert any(re.search(wanted, key) for key in found)
                old |= found
                new |= outcome(swapped, batch)
    finally:
        torch.set_default_dtype(torch.float32)
    if len(lacking) == len(PARTS):
        raise StockError(lacking["losses"])
    assert {key: one.shape for key, one in old.items()} == {key: one.shape for key, one in new.items()}
    far = [((old[key] - new[key]).abs() / old[key].abs().clamp(min=1)).nan_to_num(0.0) for key in old]
    largest = max((float(one.max()) for one in far if one.numel()), default=0.0)
    return Compared(largest, sum(one.numel() for one in far), lacking)
