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


@pytest.mark.parametrize("size", [(65, 97), (75, 131), (101, 99)])
def test_maps_of_swin_at_sizes_that_nothing_divides(size: tuple[int, int]) -> None:
    """mmdet's pads to whole patches, then each merge and each window on its own; so do ours."""
    mmdet = pytest.importorskip("mmdet.models.backbones.swin", reason="mmdet comes with the extra mm")
    torch.manual_seed(0)
    depths, heads = (2, 2, 2, 2), (1, 2, 2, 4)
    theirs = mmdet.SwinTransformer(embed_dims=24, depths=depths, num_heads=heads, drop_path_rate=0.0)
    theirs.eval()  # which gives None
    for name, param in theirs.named_parameters():
        if name.endswith(("bias", "bias_table")):  # which are zero, or next to it
            torch.nn.init.normal_(param, std=0.5)
    arguments = dict(embed_dim=24, depths=depths, num_heads=heads, always_partition=True)
    ours = build("swin_tiny_patch4_window7_224", net_kwargs=arguments).eval()
    ours.load_state_dict(ours.rename(theirs.state_dict()).named, strict=True)
    images = torch.randn(1, 3, *size)
    with torch.no_grad():
        maps = [
            getattr(theirs, f"norm{i}")(fmap.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
            for i, fmap in enumerate(ours(images))
        ]
        assert largest_difference(maps, theirs(images)) <= 1e-4
