"""What a config expects of its backbone, read off the backbone that it has."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from functools import cache
from importlib.util import find_spec
from math import log2
from typing import Any

from .. import kept
from ..catalog.own import own_names
from ..errors import InputError
from ..weights.named import without_weights
from .configs import kind, walk
from .levels import IMAGE, Level, known, type_name

Shape = tuple[int, ...]

#: Arguments that change neither channels nor sizes; some of their operators run only with values.
_SHAPELESS = ("dcn", "stage_with_dcn", "plugins", "init_cfg", "pretrained")
#: Arguments that turn strides into dilations; with the class's own defaults nothing is dilated.
_DILATING = ("strides", "dilations", "dilation", "contract_dilation", "multi_grid", "output_stride")
#: Packages whose classes facts are kept of.
_LIBRARIES = {
    *("mmbackbones", "mmcv", "mmdet", "mmengine", "mmpretrain", "mmseg", "timm", "torch", "torchvision"),
}


def expected(backbone: Mapping[str, Any], scope: str) -> tuple[Level, ...]:
    """The maps of the base's own backbone, fine to coarse.

    Those of the usual ResNets, of Swin and of this package's backbones are known; any other is built, without
    values where that goes, and run.

    Raises:
        InputError: it cannot be built or run here, or what it returns are not maps.
    """
    backbone = _plain(backbone)
    return known(backbone) or seen_in_a_run(backbone, scope)


def parameters_of(backbone: Mapping[str, Any], scope: str) -> list[str]:
    """The names of its parameters."""
    return [name for name, _ in _run_backbone(_plain(backbone), scope)[0].named_parameters()]


def _plain(backbone: Mapping[str, Any]) -> dict[str, Any]:
    """Without what changes no shape and cannot always be built: MMSyncBN needs a process group."""
    plain = {key: value for key, value in backbone.items() if key not in _SHAPELESS}
    if kind(plain.get("norm_cfg")) == "MMSyncBN":
        plain["norm_cfg"] = {**plain["norm_cfg"], "type": "SyncBN"}
    return plain


def seen_in_a_run(backbone: Mapping[str, Any], scope: str) -> tuple[Level, ...]:
    """What a run of it shows."""
    lasting = _of_libraries(backbone)
    key = (scope if lasting else class_of(backbone, scope), json.dumps(backbone, default=repr))
    if key not in READ and lasting:
        seen = kept.fact("maps", [scope, backbone], lambda: [*map(astuple, _run_levels(backbone, scope))])
        READ[key] = tuple(Level(*level) for level in seen)
    elif key not in READ:
        READ[key] = _run_levels(backbone, scope)
    return READ[key]


#: What was seen in this process, by class and arguments: four nets for one base run it once.
READ: dict[tuple[Any, str], tuple[Level, ...]] = {}


def _of_libraries(module: Mapping[str, Any]) -> bool:
    """Whether all classes of a piece of a config are the libraries', which their versions tell apart; or a
    user's, whose code may change."""
    from mmengine.registry import MODELS

    if own_names():
        return False
    registries = [MODELS, *MODELS.children.values()]
    for _, node in walk(dict(module)):
        scope, _, name = type_name(node).rpartition(".")
        known = (one.module_dict[name].__module__ for one in registries if name in one.module_dict)
        if {home.partition(".")[0] for home in (scope, *known) if home} - _LIBRARIES:
            return False
    return True


def _run_levels(backbone: Mapping[str, Any], scope: str) -> tuple[Level, ...]:
    net, shapes, image = _run_backbone(backbone, scope)
    real = [_stride(image, shape) for shape in shapes]
    plain = _undilated(backbone, scope)
    depths = real
    if plain != backbone:
        _, undilated, _ = _run_backbone(plain, scope)
        depths = [_stride(image, shape) for shape in undilated]
    if depths == real:  # dilation that no argument says: MobileNetV3, CGNet
        depths = [*real[:-1], max(real[-1], min(32, real[-1] * _dilation(net)))]
    return tuple(
        Level(shape[1], stride, depth, (shape[2], shape[3]))
        for shape, stride, depth in zip(shapes, real, depths, strict=True)
    )


def made_of(module: Mapping[str, Any], scope: str, shapes: Sequence[Shape]) -> tuple[Shape, ...]:
    """Shapes of what a neck makes of maps of ``shapes``.

    Raises:
        InputError: it cannot be built, or does not take them.
    """
    try:
        if not _of_libraries(module):
            return _run(module, scope, shapes)[1]
        given = [scope, dict(module), [*shapes]]
        return kept.fact("shapes", given, lambda: _run(module, scope, shapes)[1])
    except Exception as error:  # a module of any author
        raise InputError(
            f"The neck {type_name(module)} does not take maps of shapes {list(shapes)}: "
            f"{type(error).__name__}: {error}"
        ) from error


def _run_backbone(backbone: Mapping[str, Any], scope: str) -> tuple[Any, tuple[Shape, ...], tuple[int, int]]:
    """The net, the shapes of its maps, and the image's size: its ``img_size`` where it takes no other."""
    channels = backbone.get("in_channels", 3)
    fixed = backbone.get("img_size")
    own = (fixed, fixed) if isinstance(fixed, int) else tuple(fixed or ())
    failed: Exception | None = None
    for image in [IMAGE, *([own] if len(own) == 2 else [])]:
        try:
            net, shapes = _run(backbone, scope, (1, channels, *image))
        except Exception as error:  # a net of any author
            failed = failed or error
            continue
        if not shapes or any(len(shape) != 4 for shape in shapes):
            raise InputError(
                f"The base's backbone {type_name(backbone)} returns no tuple of maps (N, C, H, W): heads "
                f"that read something else, as class tokens, cannot read another backbone."
            )
        return net, shapes, image
    package = type_name(backbone).partition(".")[0]
    lacking = "." in type_name(backbone) and find_spec(package) is None
    why = f"{type(failed).__name__}: {failed}"
    why = f"{package} is not installed: pip install {package}." if lacking else why
    raise InputError(
        f"The base's backbone {type_name(backbone)} cannot be run here, so its maps cannot be read: {why}"
    ) from failed


def _run(module: Mapping[str, Any], scope: str, shapes: Any) -> tuple[Any, tuple[Shape, ...]]:
    """A module in eval mode and the shapes of what it returns; on the meta device, or else in memory."""
    import torch

    for device in ("meta", "cpu"):
        try:
            with torch.random.fork_rng(devices=[]):
                net = build(module, scope, device)
                net.eval()  # mmdet's classes return None
                with torch.no_grad(), torch.device(device):
                    one = isinstance(shapes[0], int)
                    inputs = torch.zeros(shapes) if one else tuple(torch.zeros(shape) for shape in shapes)
                    outs = net(inputs)
        except Exception:  # operators without a meta kernel, values that are read
            if device == "cpu":
                raise
            continue
        outs = [outs] if torch.is_tensor(outs) else list(outs)
        return net, tuple(tuple(out.shape) if torch.is_tensor(out) else () for out in outs)
    raise RuntimeError("neither on the meta device nor in memory")


def build(module: Mapping[str, Any], scope: str, device: str) -> Any:
    """A module of the config on ``device``, without the weights that it would load."""
    import torch
    from mmengine.config import ConfigDict
    from mmengine.registry import MODELS
    from torch.overrides import TorchFunctionMode

    from ..tracing.shapes import Unfilled

    class RealRates(TorchFunctionMode):
        """Rates of stochastic depth have values on the meta device too: nets read them by ``item()``."""

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            given = kwargs or {}
            return func(*args, **({"device": "cpu", **given} if func is torch.linspace else given))

    config = ConfigDict(without_weights(dict(module)))
    if type_name(module).startswith("mmbackbones."):  # a neck of ours needs no mmdet
        scope = "mmbackbones"
    on_device = torch.device(device)
    with MODELS.switch_scope_and_registry(scope) as registry, on_device, RealRates(), Unfilled():
        return registry.build(config)


def class_of(module: Mapping[str, Any], scope: str) -> Any:
    """The class that a config node names; None if the registries have no such class."""
    from mmengine.registry import MODELS

    kind = module.get("type")
    if not isinstance(kind, str):
        return kind
    with MODELS.switch_scope_and_registry(scope) as registry:
        return registry.get(kind)


def default_of(module: Mapping[str, Any], scope: str, argument: str, missing: Any = None) -> Any:
    """The default of an argument of the class that a config node names; ``missing`` if it has none such."""

    def found() -> Any:
        return defaults(class_of(module, scope)).get(argument, missing)

    if not _of_libraries({"type": module.get("type")}):
        return found()
    return kept.fact("default", [scope, module.get("type"), argument, missing], found)


@cache
def defaults(kind: Any) -> dict[str, Any]:
    """The arguments of a class's constructor with their defaults, those of the classes above it included."""
    found: dict[str, Any] = {}
    for one in inspect.getmro(kind) if inspect.isclass(kind) else ():
        if (init := vars(one).get("__init__")) is not None:
            for parameter in inspect.signature(init).parameters.values():
                found.setdefault(parameter.name, parameter.default)
    return found


def _undilated(backbone: Mapping[str, Any], scope: str) -> dict[str, Any]:
    """The same backbone with the strides of its class and without dilations."""
    plain = dict(backbone)
    own = defaults(class_of(backbone, scope))
    for key in _DILATING:
        default = own.get(key, inspect.Parameter.empty)
        if key in plain and isinstance(default, (list, tuple)):
            if len(default) >= len(plain[key]):  # else the net has more stages than its class by itself
                plain[key] = type(plain[key])(default[: len(plain[key])])
        elif key in plain and default is not inspect.Parameter.empty:
            plain[key] = default
    return plain


def _dilation(net: Any) -> int:
    """The largest dilation of its convolutions that is a power of two."""
    from torch import nn

    rates = {max(module.dilation) for module in net.modules() if isinstance(module, nn.Conv2d)}
    return max((rate for rate in rates if rate & (rate - 1) == 0), default=1)


def _stride(image: tuple[int, int], shape: Shape) -> int:
    return max(1, round(2 ** round(log2(image[0] / shape[2]))))
