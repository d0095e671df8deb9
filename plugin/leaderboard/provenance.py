"""Where weights come from: their tag, what they were trained on, and under which licence they are."""

from __future__ import annotations

import re

#: Words in the tags of timm's and torchvision's weights, and the data that they stand for.
DATA = {
    "in1k": "ImageNet-1k",
    "imagenet1k": "ImageNet-1k",
    "in12k": "ImageNet-12k",
    "in21k": "ImageNet-21k",
    "in22k": "ImageNet-22k",
    "lvd142m": "LVD-142M",
    "lvd1689m": "LVD-1689M",
    "sat493m": "SAT-493M",
    "laion2b": "LAION-2B",
    "laion400m": "LAION-400M",
    "laiona": "LAION-A",
    "openai": "WIT of CLIP",
    "yfcc100m": "YFCC-100M",
    "ig1b": "Instagram-1B",
    "swag": "Instagram (SWAG)",
}


def provenance(weights: str | None) -> dict[str, str]:
    """``tag``, ``pretraining`` and ``licence`` of weights, the latter two where they are known.

    >>> provenance("torchvision://vgg16.IMAGENET1K_V1")
    {'tag': 'torchvision://vgg16.IMAGENET1K_V1', 'pretraining': 'ImageNet-1k'}

    Args:
        weights: as ``timm://resnet18.a1_in1k``, or a file; None for random ones, of which nothing is said.
    """
    if weights is None:
        return {}
    source, _, name = weights.partition("://")
    words = re.split(r"[._]", name.partition(".")[2].lower())
    data = ", ".join(dict.fromkeys(DATA[word] for word in words if word in DATA))
    licence = _timm_licence(name) if source == "timm" else ""
    found = {"tag": weights, "pretraining": data, "licence": licence}
    return {key: value for key, value in found.items() if value}


def _timm_licence(name: str) -> str:
    import timm

    try:
        config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    except RuntimeError:  # timm knows no such tag
        return ""
    return str(getattr(config, "license", None) or "")
