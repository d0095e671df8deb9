"""First stage: the stock model and the swapped ones without values, compared shape by shape."""

from __future__ import annotations

import time
from typing import Any

NETS = ("resnet50", "convnext_tiny", "vit_small_patch16_224", "mobilenetv3_large_100")
SIZE = (256, 320)
HEADS = (
    "rpn_head",
    "bbox_head",
    "decode_head",
    "auxiliary_head",
    "panoptic_head",
    "track_head",
    "mask_head",
    "head",
)


def shapes(value: Any) -> Any:
    """The shapes of all tensors in a nested value."""
    import torch

    if torch.is_tensor(value):
        return list(value.shape)
    if isinstance(value, dict):
        return {key: shapes(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [shapes(one) for one in value]
    return None


def sizes(model: dict[str, Any]) -> list[tuple[int, int]]:
    """Image sizes to try: a small one, one that is large enough for seven maps, the backbone's own."""
    if model.get("data_preprocessor", {}).get("type") == "ReIDDataPreprocessor":
        return [(256, 128)]  # its pool has the kernel for it
    made = model.get("backbone", {}).get("img_size")
    own = (made, made) if isinstance(made, int) else tuple(made or ())
    return [SIZE, (512, 640), *([own] if len(own) == 2 else [])]  # type: ignore[list-item]


def ran(model: dict[str, Any], scope: str, size: tuple[int, int] = SIZE) -> dict[str, Any]:
    """Sizes of the maps behind the neck, and shapes of what each head made of them."""
    try:
        return ran_on("meta", model, scope, size)
    except Exception:  # operators without a meta kernel
        return ran_on("cpu", model, scope, size)


def ran_on(device: str, model: dict[str, Any], scope: str, size: tuple[int, int] = SIZE) -> dict[str, Any]:
    """As :func:`ran`, on the meta device or with values."""
    import torch

    from mmbackbones.compose.expects import build

    net = build(model, scope, device)
    net.eval()
    net = getattr(net, "student", None) or getattr(net, "detector", None) or net
    backbone = getattr(net, "backbone", None) or net.image_encoder
    channels = model.get("backbone", {}).get("in_channels", 3)
    with torch.no_grad(), torch.device(device):
        maps = backbone(torch.zeros(1, channels, *size))
        maps = net.neck(maps) if getattr(net, "neck", None) is not None else maps
        found: dict[str, Any] = {"maps": [list(one.shape[2:]) for one in maps if torch.is_tensor(one)]}
        for key in HEADS:
            head = getattr(net, key, None)
            heads = head if isinstance(head, torch.nn.ModuleList) else [head] if head is not None else []
            for number, one in enumerate(heads):
                found[f"{key}{number}"] = outputs(one, maps, scope, size)
    return found


def outputs(head: Any, maps: Any, scope: str, size: tuple[int, int] = SIZE) -> Any:
    """Shapes that a head makes of the maps; the error as text where it needs more than maps."""
    if scope == "mmdet":
        from mmdet.structures import DetDataSample as Sample
    else:
        from mmseg.structures import SegDataSample as Sample
    meta = dict(
        img_shape=size, batch_input_shape=size, pad_shape=size, ori_shape=size, scale_factor=(1.0, 1.0)
    )
    error = ""
    for arguments in ((maps,), (maps, [Sample(metainfo=meta)])):
        try:
            return shapes(head(*arguments))
        except Exception as raised:  # heads that read proposals, queries, other outputs
            error = error or f"error: {type(raised).__name__}"
    return error


def differing(stock: dict[str, Any] | None, made: dict[str, Any]) -> list[str]:
    """What has other shapes than in the stock model; nothing where that is not built."""
    return [key for key in stock or {} if made.get(key) != stock[key]]


def stock_ran(model: dict[str, Any], scope: str) -> tuple[dict[str, Any], tuple[int, int]]:
    """What the stock model gives, and for which image size: its own one where it takes no other."""
    first: Exception | None = None
    for size in sizes(model):
        try:
            return ran(model, scope, size), size
        except Exception as error:
            first = first or error
    assert first is not None
    raise first


def judge(name: str) -> dict[str, Any]:
    """What became of one config: the stock model, then each net."""
    from mmbackbones import InputError
    from mmbackbones.compose.configs import load_config
    from mmbackbones.compose.swap import swapped

    began = time.perf_counter()
    cfg = load_config(name)
    scope = str(cfg.default_scope)
    model = cfg.model.to_dict()
    try:
        stock, size = stock_ran(model, scope)
        result: dict[str, Any] = {"stock": "built", "nets": {}}
    except Exception as error:
        stock, size = {}, SIZE
        result = {"stock": f"{type(error).__name__}: {' '.join(str(error).split())}"[:300], "nets": {}}
    for net in NETS:
        try:
            new, _ = swapped(cfg, net)
        except InputError as error:
            result["nets"][net] = f"refused: {error}"
            continue
        except Exception as error:
            result["nets"][net] = f"fault: {type(error).__name__}: {error}"[:300]
            continue
        result["nets"][net] = compared(model, new.model.to_dict(), scope, stock, size)
    return {**result, "seconds": round(time.perf_counter() - began, 1)}


def compared(
    model: dict[str, Any], new: dict[str, Any], scope: str, stock: dict[str, Any], size: tuple[int, int]
) -> str:
    """Whether a swapped model's shapes are the stock model's."""
    try:
        made = ran(new, scope, size)
    except Exception as error:
        why = f"{type(error).__name__}: {error}"[:250]
        return f"fault: not built: {why}" if stock else "swapped; stock is not built either"
    off = differing(stock, made)
    if off:  # one of them may have run without values, where some operators of heads do not
        stock, made = ran_on("cpu", model, scope, size), ran_on("cpu", new, scope, size)
        off = differing(stock, made)
    heads = sum(not str(value).startswith("error") for key, value in made.items() if key != "maps")
    return f"fault: other shapes at {off}" if off else f"accepted, {heads} heads ran"
