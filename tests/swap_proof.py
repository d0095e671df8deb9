"""Proof that swap changes nothing but the backbone: the same ResNet with copied weights gives the same."""

from __future__ import annotations

import re
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import Tensor
from torch.overrides import TorchFunctionMode

from mmbackbones.compose.configs import kind
from mmbackbones.compose.pretrained import without_pretrained
from mmbackbones.compose.swap import swap

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
QUERIES = 30  # of detectors that take the best so many of their maps' cells: these maps are small


class Double(TorchFunctionMode):
    """Where a model asks for single precision by name, it gets double precision."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.float:
            return args[0].double()
        args = tuple(torch.float64 if one is torch.float32 else one for one in args)
        given = {key: torch.float64 if one is torch.float32 else one for key, one in (kwargs or {}).items()}
        return func(*args, **given)


def twins(cfg: Config) -> tuple[Any, Any]:
    """The base's model and the swapped one with the same weights.

    What is no part of the exchange is made equal before: ``style='caffe'``, which timm's nets do not have,
    deformable convolutions, plugins, and what of norms swap leaves to the user.
    """
    scope = cfg.default_scope
    part = cfg.model if "backbone" in cfg.model else cfg.model.detector
    backbone = part.backbone
    for key in ("dcn", "stage_with_dcn", "plugins", "frozen_stages"):
        backbone.pop(key, None)
    backbone.style = "pytorch"
    backbone.norm_cfg = dict(type="BN")
    if part.get("as_two_stage"):
        part.num_queries = QUERIES
    name = SAME[kind(backbone), backbone.depth]
    new = swap(
        cfg, name, pretrained=False, norm_eval=bool(backbone.get("norm_eval")), norm_cfg=dict(type="BN")
    )
    models = []
    for one in (cfg, new):
        with MODELS.switch_scope_and_registry(scope) as registry:
            torch.manual_seed(0)
            plain = without_pretrained(_plain_norms(one.model.to_dict()))
            models.append(registry.build(Config(dict(model=plain)).model))
    state = {_ours(key): value for key, value in models[0].state_dict().items()}
    models[1].load_state_dict(state)
    return models[0], models[1]


def _plain_norms(node: Any) -> Any:
    """SyncBN, which a CPU has not, as BN."""
    if isinstance(node, dict):
        return {key: "BN" if value == "SyncBN" else _plain_norms(value) for key, value in node.items()}
    return type(node)(_plain_norms(one) for one in node) if isinstance(node, (list, tuple)) else node


def _ours(key: str) -> str:
    return re.sub(r"(?<=backbone\.)stem\.\d\.", lambda found: _STEM[found.group()], key)


def batch(scope: str) -> tuple[Tensor, list[Any]]:
    """Two images of noise in double precision with what there is to learn, new at each call."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(2, 3, SIDE, SIDE, generator=generator, dtype=torch.float64)
    meta = dict(
        img_shape=(SIDE, SIDE), ori_shape=(SIDE, SIDE), pad_shape=(SIDE, SIDE), batch_input_shape=(SIDE, SIDE)
    )
    meta |= dict(scale_factor=(1.0, 1.0), flip=False, img_id=0)
    if scope == "mmseg":
        from mmengine.structures import PixelData
        from mmseg.structures import SegDataSample

        labels = torch.randint(0, 2, (1, SIDE, SIDE), generator=generator)
        return images, [SegDataSample(metainfo=meta, gt_sem_seg=PixelData(data=labels)) for _ in range(2)]
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData, PixelData

    boxes = torch.tensor([[8.0, 8.0, 70.0, 60.0], [40.0, 30.0, 120.0, 110.0]], dtype=torch.float64)
    masks = torch.zeros(2, SIDE, SIDE, dtype=torch.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist(), strict=True):
        mask[top:bottom, left:right] = 1
    samples = []
    for _ in range(2):
        truth = InstanceData(bboxes=boxes.clone(), labels=torch.tensor([0, 1]))
        truth.masks = BitmapMasks(masks.numpy(), SIDE, SIDE)
        sample = DetDataSample(metainfo=meta, gt_instances=truth)
        sample.gt_sem_seg = PixelData(sem_seg=masks.amax(0, keepdim=True).long())
        samples.append(sample)
    return images, samples


def outcome(model: Any, scope: str) -> dict[str, Tensor]:
    """All losses of a training step, and what is predicted."""
    found: dict[str, Tensor] = {}
    torch.manual_seed(0)
    model.train()
    images, samples = batch(scope)
    for key, value in model(images, samples, mode="loss").items():
        for number, one in enumerate(value if isinstance(value, (list, tuple)) else [value]):
            found[f"{key}.{number}"] = one.detach()
    model.eval()
    with torch.no_grad():
        images, samples = batch(scope)
        for number, sample in enumerate(model(images, samples, mode="predict")):
            for name in ("pred_instances", "seg_logits", "pred_sem_seg"):
                for key, value in getattr(sample, name, {}).items():
                    if torch.is_tensor(value):
                        found[f"{name}.{key}.{number}"] = value.double()
    return found


def difference(cfg: Config) -> float:
    """The largest difference of any loss or prediction, relative to its size where that is above 1."""
    torch.set_default_dtype(torch.float64)
    try:
        with Double():
            old, new = (outcome(model, cfg.default_scope) for model in twins(cfg))
    finally:
        torch.set_default_dtype(torch.float32)
    assert any("loss" in key for key in old)
    assert any(key.startswith(("pred", "seg")) for key in old)
    assert old.keys() == new.keys()
    assert {key: value.shape for key, value in old.items()} == {
        key: value.shape for key, value in new.items()
    }
    far = [((old[key] - new[key]).abs() / old[key].abs().clamp(min=1)).nan_to_num(0.0) for key in old]
    return max((float(one.max()) for one in far if one.numel()), default=0.0)
