"""Larger and other sizes of the networks in :mod:`.counterparts`: our names, and what changes for theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Ours by name, and the arguments of their class that are others than in the row.
Sizes = Mapping[str, Mapping[str, Any]]


def depths(names: str, *every: int) -> Sizes:
    """``names`` with each depth in place of ``{}``."""
    return {names.format(depth): {"depth": depth} for depth in every}


def archs(names: str, *every: str) -> Sizes:
    """``names`` with each arch of theirs in place of ``{}``."""
    return {names.format(arch): {"arch": arch} for arch in every}


def hrnet(*widths: int) -> dict[str, Any]:
    """The argument ``extra`` of an HRNet (arXiv 1908.07919) of that many channels in each branch."""
    shapes = {2: (1, (4, 4)), 3: (4, (4, 4, 4)), 4: (3, (4, 4, 4, 4))}
    extra: dict[str, Any] = {
        "stage1": dict(num_modules=1, num_branches=1, block="BOTTLENECK", num_blocks=(4,), num_channels=(64,))
    }
    for branches, (modules, blocks) in shapes.items():
        extra[f"stage{branches}"] = dict(
            num_modules=modules,
            num_branches=branches,
            block="BASIC",
            num_blocks=blocks,
            num_channels=widths[:branches],
        )
    return {"extra": extra}


BASIC = depths("resnet{}", 34)
BOTTLENECK = depths("resnet{}", 101, 152)
RESNET_V1C = depths("timm:resnet{}c", 101)
RESNET_V1D = depths("timm:resnet{}d", 101, 152)
RESNEXT: Sizes = {
    "resnext101_32x4d": {"depth": 101},
    "resnext101_64x4d": {"depth": 101, "groups": 64, "base_width": 4},
    "resnext101_32x8d": {"depth": 101, "base_width": 8},
}
RESNEXT_OF_MMPRETRAIN: Sizes = {
    "resnext101_32x4d": {"depth": 101},
    "resnext101_32x8d": {"depth": 101, "width_per_group": 8},
}
REGNET: Sizes = {
    f"regnetx_{number}": {"arch": f"regnetx_{size}"}
    for number, size in (
        *(("008", "800mf"), ("016", "1.6gf"), ("032", "3.2gf"), ("040", "4.0gf")),
        *(("064", "6.4gf"), ("080", "8.0gf"), ("120", "12gf")),
    )
}
RESNEST: Sizes = {
    "timm:resnest101e": {"depth": 101, "stem_channels": 128},
    "timm:resnest200e": {"depth": 200, "stem_channels": 128},
}
MOBILENET_V2: Sizes = {
    "mobilenetv2_050": {"widen_factor": 0.5},
    "mobilenetv2_075": {"widen_factor": 0.75},
    "mobilenetv2_140": {"widen_factor": 1.4},
}
EFFICIENTNET = archs("timm:tf_efficientnet_{}", "b1", "b2", "b3", "b4")
EFFICIENTNET_V2 = archs("timm:tf_efficientnetv2_{}", "b1", "b2", "b3")
HRNET: Sizes = {f"timm:hrnet_w{width}": hrnet(*(width * k for k in (1, 2, 4, 8))) for width in (18, 32, 40)}
SWIN: Sizes = {
    "swin_small": {"depths": (2, 2, 18, 2)},
    "swin_base": {"embed_dims": 128, "depths": (2, 2, 18, 2), "num_heads": (4, 8, 16, 32)},
    "swin_large": {"embed_dims": 192, "depths": (2, 2, 18, 2), "num_heads": (6, 12, 24, 48)},
}
SWIN_OF_MMPRETRAIN = archs("swin_{}", "small", "base", "large")
SWIN_V2 = archs("swinv2_{}", "small", "base")
PVT_V2: Sizes = {
    "timm:pvt_v2_b1": {"embed_dims": 64},
    "timm:pvt_v2_b2": {"embed_dims": 64, "num_layers": [3, 4, 6, 3]},
    "timm:pvt_v2_b3": {"embed_dims": 64, "num_layers": [3, 4, 18, 3]},
    "timm:pvt_v2_b4": {"embed_dims": 64, "num_layers": [3, 8, 27, 3]},
    "timm:pvt_v2_b5": {"embed_dims": 64, "num_layers": [3, 6, 40, 3], "mlp_ratios": (4, 4, 4, 4)},
}
CSPNEXT: Sizes = {
    "timm:cspnext_s": {"deepen_factor": 0.33, "widen_factor": 0.5},
    "timm:cspnext_m": {"deepen_factor": 0.67, "widen_factor": 0.75},
    "timm:cspnext_l": {"deepen_factor": 1.0, "widen_factor": 1.0},
    "timm:cspnext_x": {"deepen_factor": 1.33, "widen_factor": 1.25},
}
VIT: Sizes = {
    "vit_small": {"embed_dims": 384, "num_heads": 6},
    "vit_base": {"embed_dims": 768, "num_heads": 12},
    "vit_large": {"embed_dims": 1024, "num_heads": 16, "num_layers": 24, "out_indices": 23},
}
VIT_OF_MMPRETRAIN: Sizes = {
    "vit_small": {"arch": "deit-s"},
    "vit_base": {"arch": "b"},
    "vit_large": {"arch": "l"},
}
DEIT: Sizes = {"deit_small": {"arch": "deit-s"}, "deit_base": {"arch": "deit-b"}}
DISTILLED: Sizes = {
    f"timm:deit_{name}_distilled_patch16_224": {"arch": f"deit-{name[0]}"} for name in ("small", "base")
}
BEIT: Sizes = {
    "beit_large": {"embed_dims": 1024, "num_layers": 24, "num_heads": 16, "mlp_ratio": 4, "out_indices": 23}
}
PCPVT: Sizes = {
    "timm:twins_pcpvt_base": {"depths": [3, 4, 18, 3]},
    "timm:twins_pcpvt_large": {"depths": [3, 8, 27, 3]},
}
SVT: Sizes = {
    "timm:twins_svt_base": {
        "embed_dims": [96, 192, 384, 768], "num_heads": [3, 6, 12, 24], "depths": [2, 2, 18, 2]
    },
    "timm:twins_svt_large": {
        "embed_dims": [128, 256, 512, 1024], "num_heads": [4, 8, 16, 32], "depths": [2, 2, 18, 2]
    },
}  # fmt: skip
CONVNEXT = archs("convnext_{}", "femto", "pico", "nano", "tiny", "small", "base")
CONVNEXT_V2 = archs("convnextv2_{}", "femto", "pico", "nano", "tiny", "base")
REPVGG: Sizes = {
    f"timm:repvgg_{name.lower()}": {"arch": name}
    for name in ("A1", "A2", "B0", "B1", "B1g4", "B2", "B2g4", "B3", "B3g4", "D2se")
}
EDGENEXT: Sizes = {
    "timm:edgenext_x_small": {"arch": "xsmall"},
    "timm:edgenext_small": {"arch": "small"},
    "timm:edgenext_base": {"arch": "base"},
}
POOLFORMER = archs("timm:poolformer_{}", "s24", "s36", "m36", "m48")
MOBILE_VIT: Sizes = {"timm:mobilevit_xs": {"arch": "x_small"}, "timm:mobilevit_s": {"arch": "small"}}
MOBILE_ONE = archs("timm:mobileone_{}", "s1", "s2", "s3", "s4")
EFFICIENTFORMER = archs("timm:efficientformer_{}", "l3", "l7")
LEVIT = archs("timm:levit_{}", "128", "192", "256", "384")
TINY_VIT = archs("timm:tiny_vit_{}_224", "11m", "21m")
MVIT = archs("timm:mvitv2_{}", "small", "base", "large")
CONVMIXER: Sizes = {
    "timm:convmixer_1024_20_ks9_p14": {"arch": "1024/20", "act_cfg": {"type": "GELU"}},
    "timm:convmixer_1536_20": {"arch": "1536/20", "act_cfg": {"type": "GELU"}},
}
RES2NET: Sizes = {
    "timm:res2net101_26w_4s": {"depth": 101},
    "timm:res2net50_14w_8s": {"scales": 8, "base_width": 14},
    "timm:res2net50_26w_6s": {"scales": 6},
    "timm:res2net50_26w_8s": {"scales": 8},
    "timm:res2net50_48w_2s": {"scales": 2, "base_width": 48},
}
DENSENET = archs("densenet{}", "169", "201")
SHUFFLENET_V2: Sizes = {
    f"shufflenet_v2_x{width:.1f}".replace(".", "_"): {"widen_factor": width} for width in (0.5, 1.5, 2.0)
}
XCIT: Sizes = {
    "timm:xcit_tiny_12_p16_224": {"embed_dims": 192, "tokens_norm": True},
    "timm:xcit_small_12_p16_224": {"embed_dims": 384, "num_heads": 8, "tokens_norm": True},
    "timm:xcit_nano_12_p8_224": {"patch_size": 8},
}
MIXER: Sizes = {"timm:mixer_b16_224": {"arch": "b"}, "timm:mixer_l16_224": {"arch": "l"}}
