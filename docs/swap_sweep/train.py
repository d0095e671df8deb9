"""Second stage: one config of each family takes a training step and predicts at an odd size."""

from __future__ import annotations

import math
import time
from typing import Any

import torch
from swap_samples import packed, small

NET = "resnet18"
#: Images to try: the first ones that the family's stock model takes. Those for prediction have sides that no
#: stride divides, but for models whose data loader pads them.
SHAPES = {
    "step": ((128, 128), (320, 320), (512, 512)),
    "predict": ((131, 157), (160, 192), (323, 349), (512, 640)),
}
Shape = tuple[int, int]


def judge(name: str) -> dict[str, Any]:
    """A training step and a prediction of the swapped model; where one fails, what the stock model does."""
    from mmbackbones.compose.configs import load_config
    from mmbackbones.compose.swap import swapped

    began = time.perf_counter()
    cfg = load_config(name)
    scope = str(cfg.default_scope)
    stock = cfg.model.to_dict()
    new = swapped(cfg, NET, pretrained=False)[0].model.to_dict()
    result: dict[str, Any] = {"net": NET}
    for stage in (step, predict):
        result[stage.__name__] = _at_some_size(stage, new, stock, scope)
    return {**result, "seconds": round(time.perf_counter() - began, 1)}


def _at_some_size(stage: Any, new: dict[str, Any], stock: dict[str, Any], scope: str) -> str:
    shapes = SHAPES[stage.__name__]
    for shape in shapes:
        try:
            text, gaps = stage(new, scope, shape)
        except Exception as error:
            failed = _said(error)
            try:
                stage(stock, scope, shape)
            except Exception as other:  # too small for this family, or not to be trained alone
                if shape == shapes[-1] or isinstance(other, (NotImplementedError, ImportError)):
                    return f"stock cannot either: {_said(other)}"
                continue
            return f"fault: {failed}"
        gaps -= stage(stock, scope, shape)[1] if gaps else set()
        return f"fault: no gradient in {sorted(gaps)[:3]} and {len(gaps)} in all" if gaps else text
    raise RuntimeError("no size")


def built(model: dict[str, Any], scope: str, shape: Shape) -> Any:
    """The model for small images, with random weights as it would start."""
    from mmbackbones.compose.expects import build

    torch.manual_seed(0)
    net = build(small(model, shape[0]), scope, "cpu")
    net.init_weights()
    return net


def step(model: dict[str, Any], scope: str, shape: Shape) -> tuple[str, set[str]]:
    """One step of training: what came out, and which parameters had no gradient."""
    net = built(model, scope, shape)
    net.train()
    data = net.data_preprocessor(packed(model, scope, shape, training=True), True)
    loss, _ = net.parse_losses(net(**data, mode="loss"))
    if not math.isfinite(loss.item()):
        raise ValueError(f"loss is {loss.item()}")
    loss.backward()
    trained = {name: one for name, one in net.named_parameters() if one.requires_grad}
    torch.optim.SGD(trained.values(), lr=1e-4).step()
    gaps = {name for name, one in trained.items() if one.grad is None}
    text = f"loss {loss.item():.3g}, {len(trained) - len(gaps)} of {len(trained)} parameters"
    return f"{text}, {_size(data)}", gaps


def predict(model: dict[str, Any], scope: str, shape: Shape) -> tuple[str, set[str]]:
    """A prediction of an image whose sides no stride divides."""
    net = built(model, scope, shape)
    net.eval()
    data = net.data_preprocessor(packed(model, scope, shape, training=False), False)
    with torch.no_grad():
        found = net(**data, mode="predict")
    kinds = sorted({key for one in found for key in one.all_keys() if key.startswith(("pred", "video"))})
    if not kinds:
        raise ValueError("nothing is predicted")
    return f"{', '.join(kinds)} of {shape[0]}x{shape[1]}, padded to {_size(data)}", set()


def _size(data: dict[str, Any]) -> str:
    images = data["inputs"]
    images = next(iter(images.values())) if isinstance(images, dict) else images
    return "x".join(map(str, images.shape[-2:]))


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:250]
