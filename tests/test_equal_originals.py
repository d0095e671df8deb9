"""Equal to the originals: same weights, same maps."""

from __future__ import annotations

import pytest
import torch
from originals import largest_difference, randomise_statistics

from mmbackbones import build


@pytest.mark.parametrize("source", ["timm", "torchvision"])
def test_features_of_resnet50(source: str) -> None:
    images = torch.rand(2, 3, 97, 128)
    if source == "timm":
        import timm

        original = timm.create_model("resnet50", features_only=True, out_indices=(1, 2, 3, 4))
        maps = original
    else:
        from torchvision.models import resnet50
        from torchvision.models.feature_extraction import create_feature_extractor

        original = resnet50()
        nodes = [f"layer{i}" for i in (1, 2, 3, 4)]
        maps = create_feature_extractor(original, nodes)
    randomise_statistics(original, images)
    weights = {k: v for k, v in original.state_dict().items() if not k.startswith("fc.")}
    ours = build("resnet50").eval()
    ours.load_state_dict(weights, strict=True)
    with torch.no_grad():
        expected = maps.eval()(images)
        expected = list(expected.values()) if isinstance(expected, dict) else expected
        assert min(float(m.abs().max()) for m in expected) > 0.1
        assert largest_difference(ours(images), expected) <= 1e-5
