"""Classes of OpenMMLab and the backbones here that compute the same from the same weights.

Nothing is loaded by this table: files are read by order and shape (:mod:`.openmmlab`). It says what was
compared (``docs/checkpoints.md``, and the tests), and what ``mmbackbones convert --to openmmlab`` writes.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from ..errors import InputError, nearest

#: Where the classes of each package are.
PACKAGES = {package: f"{package}.models.backbones" for package in ("mmdet", "mmseg", "mmpretrain")}


@dataclass(frozen=True)
class Counterpart:
    """One class with its arguments, and the same network here.

    Attributes:
        theirs: ``package.Class``.
        name: Of our backbone.
        arguments: For their constructor.
        ours: For ours.
        note: What is permuted in the tensors, or what to know.
        at: Path of the module of theirs whose output is a map of ours, where theirs returns no map.
        side: Of the image, where theirs takes one size only.
    """

    theirs: str
    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    ours: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    at: str = ""
    side: int = 0

    def build_theirs(self) -> nn.Module:
        """Their network with fresh weights, in eval mode.

        Raises:
            InputError: its package is not installed.
        """
        package, _, kind = self.theirs.partition(".")
        try:
            module = importlib.import_module(PACKAGES[package])
        except ImportError as error:
            raise InputError(f"{self.theirs} is of {package}, which cannot be imported: {error}.") from error
        net: nn.Module = getattr(module, kind)(**self.arguments)
        net.eval()  # mmdet's give None
        return net


def counterpart(name: str, kind: str | None = None) -> Counterpart:
    """The row of our backbone ``name``, with their class ``kind`` (``package.Class``) if it is given.

    Raises:
        InputError: there is none.
    """
    rows = [row for row in COUNTERPARTS if kind in (None, row.theirs)]
    if not rows:
        kinds = sorted({row.theirs for row in COUNTERPARTS})
        near = ", ".join(nearest(str(kind), kinds))
        raise InputError(f"--like {kind} is neither a file nor a class that was compared. Nearest: {near}.")
    for row in rows:
        if row.name == name:
            return row
    names = ", ".join(sorted({row.name for row in rows}))
    raise InputError(
        f"Of {kind or 'the classes that were compared'} none is known for {name}: {names}. For other sizes "
        f"name a file of OpenMMLab's network of that size: --like FILE."
    )


_SWIN: dict[str, Any] = {"net_kwargs": {"always_partition": True}}
_MERGING = "patch merging: columns of norm and reduction"
_THOUSANDTH: dict[str, Any] = {"norm_cfg": {"type": "BN", "eps": 1e-3}}
_EPS = "with eps=1e-3 in its norm_cfg, as its configs have"
_LN: dict[str, Any] = {"type": "LN", "eps": 1e-6}
_RAW: dict[str, Any] = {"final_norm": False, "out_type": "featmap", "img_size": 224}
_RESNEXT: dict[str, Any] = {"depth": 50, "groups": 32, "base_width": 4}
_RESNEST: dict[str, Any] = {"depth": 50, "reduction_factor": 4, "avg_down_stride": True, "stem_channels": 64}
_HRNET: dict[str, Any] = {
    "extra": {
        f"stage{stage}": {
            "num_modules": 1,
            "num_branches": stage,
            "block": "BASIC" if stage > 1 else "BOTTLENECK",
            "num_blocks": (2,) * stage if stage > 1 else (1,),
            "num_channels": (16, 32, 64, 128)[:stage] if stage > 1 else (32,),
        }
        for stage in (1, 2, 3, 4)
    }
}
_BRANCHES: dict[str, Any] = {"net_kwargs": {"head": ""}}
_EDGES = "padded as TensorFlow does: the nets without tf_ have its shapes and other borders"

#: The smallest of each class.
COUNTERPARTS = (
    Counterpart("mmdet.ResNet", "resnet18", {"depth": 18}),
    Counterpart("mmdet.ResNet", "resnet50", {"depth": 50}, note="style='pytorch'; caffe's are refused"),
    Counterpart("mmdet.ResNetV1d", "timm:resnet50d", {"depth": 50}),
    Counterpart("mmdet.ResNeXt", "resnext50_32x4d", _RESNEXT),
    Counterpart("mmdet.RegNet", "regnetx_004", {"arch": "regnetx_400mf"}),
    Counterpart("mmdet.ResNeSt", "timm:resnest50d", _RESNEST),
    Counterpart("mmdet.MobileNetV2", "mobilenetv2_100", {"out_indices": (1, 2, 4, 6)}),
    Counterpart(
        "mmdet.EfficientNet",
        "timm:tf_efficientnet_b0",
        {"arch": "b0", "out_indices": (2, 3, 4, 5), **_THOUSANDTH},
        note=f"{_EPS}; {_EDGES}",
    ),
    Counterpart("mmdet.HRNet", "timm:hrnet_w18_small", _HRNET, _BRANCHES, "mmseg's is another, see below"),
    Counterpart("mmdet.SwinTransformer", "swin_tiny", {}, _SWIN, _MERGING),
    Counterpart(
        "mmdet.PyramidVisionTransformerV2",
        "timm:pvt_v2_b0",
        {"embed_dims": 32, "num_layers": [2, 2, 2, 2]},
        note="in_proj is q and kv; eps of some layer norms",
    ),
    Counterpart("mmdet.SSDVGG", "vgg16", {"depth": 16, "ceil_mode": True}, note="without its fc6 and fc7"),
    Counterpart("mmseg.ResNet", "resnet18", {"depth": 18}),
    Counterpart("mmseg.ResNetV1c", "timm:resnet50c", {"depth": 50}),
    Counterpart("mmseg.ResNetV1d", "timm:resnet50d", {"depth": 50}),
    Counterpart("mmseg.ResNeXt", "resnext50_32x4d", _RESNEXT),
    Counterpart("mmseg.ResNeSt", "timm:resnest50d", _RESNEST),
    Counterpart("mmseg.MobileNetV2", "mobilenetv2_100", {"out_indices": (1, 2, 4, 6)}),
    Counterpart(
        "mmseg.MobileNetV3",
        "timm:tf_mobilenetv3_large_100",
        {"arch": "large", "out_indices": (1, 3, 6)},
        {"out_strides": (2, 4, 8), "norm_cfg": {"type": "BN", "eps": 1e-5}},
        f"{_EDGES}; ours with eps=1e-5; behind stride 8 its dilations are others than output_stride=8 (1 %)",
    ),
    Counterpart("mmseg.SwinTransformer", "swin_tiny", {}, _SWIN, _MERGING),
    Counterpart(
        "mmseg.VisionTransformer",
        "vit_tiny",
        {"img_size": 224, "embed_dims": 192, "num_heads": 3, "patch_bias": True, "norm_cfg": _LN},
        note="with patch_bias",
    ),
    Counterpart("mmseg.BEiT", "beit_base", {"img_size": 224, "qv_bias": True}),
    Counterpart(
        "mmseg.PCPVT",
        "timm:twins_pcpvt_small",
        {
            "embed_dims": [64, 128, 320, 512],
            "num_heads": [1, 2, 5, 8],
            "patch_sizes": [4, 2, 2, 2],
            "strides": [4, 2, 2, 2],
            "mlp_ratios": [8, 8, 4, 4],
            "depths": [3, 4, 6, 3],
            "sr_ratios": [8, 4, 2, 1],
            "out_indices": (0, 1, 2, 3),
            "qkv_bias": True,
            "norm_after_stage": False,
        },
    ),
    Counterpart("mmpretrain.ResNet", "resnet18", {"depth": 18}),
    Counterpart("mmpretrain.ResNetV1c", "timm:resnet50c", {"depth": 50}),
    Counterpart("mmpretrain.ResNetV1d", "timm:resnet50d", {"depth": 50}),
    Counterpart("mmpretrain.ResNeXt", "resnext50_32x4d", {"depth": 50}),
    Counterpart("mmpretrain.ResNeSt", "timm:resnest50d", {"depth": 50}),
    Counterpart("mmpretrain.SEResNet", "seresnet50", {"depth": 50}),
    Counterpart("mmpretrain.SEResNeXt", "seresnext50_32x4d", {"depth": 50}),
    Counterpart("mmpretrain.RegNet", "regnetx_004", {"arch": "regnetx_400mf"}),
    Counterpart("mmpretrain.HRNet", "timm:hrnet_w18_small", _HRNET, _BRANCHES),
    Counterpart("mmpretrain.MobileNetV2", "mobilenetv2_100", {"out_indices": (1, 2, 4, 6)}),
    Counterpart(
        "mmpretrain.MobileNetV3",
        "mobilenetv3_small_100",
        {"arch": "small"},
        _THOUSANDTH,
        "ours with eps=1e-3",
    ),
    Counterpart(
        "mmpretrain.EfficientNet",
        "timm:tf_efficientnet_b0",
        {"arch": "b0", "out_indices": (2, 3, 4, 5), **_THOUSANDTH},
        note=f"{_EPS}; {_EDGES}",
    ),
    Counterpart(
        "mmpretrain.EfficientNetV2",
        "timm:tf_efficientnetv2_b0",
        {"arch": "b0", "out_indices": (2, 3, 5, 6), **_THOUSANDTH},
        note=f"{_EPS}; {_EDGES}",
    ),
    Counterpart("mmpretrain.VisionTransformer", "vit_tiny", {"arch": "deit-t", **_RAW}),
    Counterpart("mmpretrain.VisionTransformer", "deit_tiny", {"arch": "deit-t", **_RAW}),
    Counterpart(
        "mmpretrain.DistilledVisionTransformer",
        "timm:deit_tiny_distilled_patch16_224",
        {"arch": "deit-t", **_RAW},
    ),
    Counterpart("mmpretrain.BEiTViT", "beit_base", {"arch": "base", **_RAW}),
    Counterpart(
        "mmpretrain.SwinTransformer", "swin_tiny", {"arch": "tiny", "pad_small_map": True}, _SWIN, _MERGING
    ),
    Counterpart(
        "mmpretrain.SwinTransformerV2",
        "swinv2_tiny",
        {"arch": "tiny", "window_size": 8, "img_size": 256},
        note=_MERGING,
    ),
    Counterpart("mmpretrain.ConvNeXt", "convnext_atto", {"arch": "atto", "gap_before_final_norm": False}),
    Counterpart(
        "mmpretrain.ConvNeXt",
        "convnextv2_atto",
        {"arch": "atto", "layer_scale_init_value": 0.0, "use_grn": True, "gap_before_final_norm": False},
    ),
    Counterpart("mmpretrain.CSPDarkNet", "cspdarknet53", {"depth": 53}),
    Counterpart("mmpretrain.CSPResNet", "timm:cspresnet50", {"depth": 50}),
    Counterpart("mmpretrain.CSPResNeXt", "timm:cspresnext50", {"depth": 50}),
    Counterpart("mmpretrain.RepVGG", "timm:repvgg_a0", {"arch": "A0", "out_indices": (0, 1, 2, 3)}),
    Counterpart(
        "mmpretrain.EdgeNeXt",
        "timm:edgenext_xx_small",
        {"arch": "xxsmall", "out_indices": (0, 1, 2, 3), "gap_before_final_norm": False},
    ),
    Counterpart(
        "mmpretrain.PoolFormer",
        "timm:poolformer_s12",
        {"arch": "s12", "out_indices": (0, 2, 4, 6)},
        note="without its norms behind the maps",
    ),
    Counterpart(
        "mmpretrain.MobileViT", "timm:mobilevit_xxs", {"arch": "xx_small", "out_indices": (1, 2, 3, 4)}
    ),
    Counterpart("mmpretrain.MobileOne", "timm:mobileone_s0", {"arch": "s0", "out_indices": (0, 1, 2, 3)}),
    Counterpart(
        "mmpretrain.EfficientFormer",
        "timm:efficientformer_l1",
        {"arch": "l1", "out_indices": (0, 1, 2, 3)},
        note="without its norms behind the maps",
        side=224,
    ),
    Counterpart(
        "mmpretrain.LeViT",
        "timm:levit_128s",
        {"arch": "128s", "img_size": 224, "out_indices": (0, 1)},
        note="strides 16 and 32",
    ),
    Counterpart(
        "mmpretrain.TinyViT",
        "timm:tiny_vit_5m_224",
        {"arch": "5m", "out_indices": (3,), "gap_before_final_norm": False},
        note="its other maps are behind the next stage's patch merging; without the norm",
        side=224,
    ),
    Counterpart(
        "mmpretrain.MViT",
        "timm:mvitv2_tiny",
        {"arch": "tiny", "out_scales": (0, 1, 2, 3)},
        note="without its norms behind the maps",
    ),
    Counterpart(
        "mmpretrain.ConvMixer", "timm:convmixer_768_32", {"arch": "768/32", "act_cfg": {"type": "ReLU"}}
    ),
    Counterpart(
        "mmpretrain.Res2Net",
        "timm:res2net50_26w_4s",
        {"depth": 50, "scales": 4, "base_width": 26, "deep_stem": False, "avg_down": False},
        note="with deep_stem=True it is refused, see below",
    ),
    Counterpart("mmpretrain.AlexNet", "alexnet", {}, {"repair_padding": False}, at="features.11"),
    Counterpart("mmpretrain.VGG", "vgg11", {"depth": 11}),
    Counterpart("mmpretrain.VGG", "vgg11_bn", {"depth": 11, "norm_cfg": {"type": "BN"}}),
    Counterpart("mmpretrain.DenseNet", "densenet121", {"arch": "121"}),
    Counterpart("mmpretrain.ShuffleNetV2", "shufflenet_v2_x1_0", {"out_indices": (0, 1, 2)}),
    Counterpart("mmpretrain.InceptionV3", "inception_v3", {}, {"repair_padding": False}, at="Mixed_7c"),
)
