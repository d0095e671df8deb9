"""Third stage: to the same ResNet with copied weights, in double precision, with the tests' swap_proof."""

from __future__ import annotations

import time
from typing import Any

import swap_proof


def provable(name: str) -> bool:
    """Whether the config's backbone is a ResNet that timm has too."""
    from mmbackbones.compose.configs import load_config

    return swap_proof.twin_of(load_config(name)) is not None


def judge(name: str) -> dict[str, Any]:
    """The largest difference of any loss or prediction; what the stock model says where it cannot train."""
    from mmbackbones.compose.configs import load_config

    began = time.perf_counter()
    cfg = load_config(name)
    result: dict[str, Any] = {"twin": swap_proof.twin_of(cfg)}
    for side in (swap_proof.SIDE, 320):
        try:
            found = swap_proof.difference(cfg, side)
        except Exception as error:  # images too small for the family, or a model that does neither
            stock = isinstance(error, swap_proof.StockError)
            said = f"stock cannot either: {error}" if stock else f"{type(error).__name__}: {error}"
            result["error"] = " ".join(said.split())[:250]
            continue
        result.pop("error", None)
        kept = result.get("lacking", found.lacking)
        if len(found.lacking) <= len(kept):  # a larger image may do for both losses and predictions
            result |= {"difference": found.largest, "values": found.count, "lacking": found.lacking}
        if not found.lacking:
            break
    return {**result, "seconds": round(time.perf_counter() - began, 1)}
