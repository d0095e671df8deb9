"""The table of :mod:`.counterparts`: the smallest network of each class of OpenMMLab that was compared."""

from __future__ import annotations

from typing import Any

from . import counterpart_sizes as sizes
from .openmmlab_classes import Counterpart

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

_TWINS: dict[str, Any] = {"out_indices": (0, 1, 2, 3), "qkv_bias": True}

#: The smallest of each class.
COUNTERPARTS = (
    Counterpart("mmdet.ResNet", "resnet18", {"depth": 18}, sizes=sizes.BASIC),
    Counterpart(
        "mmdet.ResNet",
        "resnet50",
        {"depth": 50},
        note="style='pytorch'; caffe's are refused",
        sizes=sizes.BOTTLENECK,
    ),
    Counterpart("mmdet.ResNetV1d", "timm:resnet50d", {"depth": 50}, sizes=sizes.RESNET_V1D),
    Counterpart("mmdet.ResNeXt", "resnext50_32x4d", _RESNEXT, sizes=sizes.RESNEXT),
    Counterpart("mmdet.RegNet", "regnetx_004", {"arch": "regnetx_400mf"}, sizes=sizes.REGNET),
    Counterpart("mmdet.ResNeSt", "timm:resnest50d", _RESNEST, sizes=sizes.RESNEST),
    Counterpart(
        "mmdet.MobileNetV2", "mobilenetv2_100", {"out_indices": (1, 2, 4, 6)}, sizes=sizes.MOBILENET_V2
    ),
    Counterpart(
        "mmdet.EfficientNet",
        "timm:tf_efficientnet_b0",
        {"arch": "b0", "out_indices": (2, 3, 4, 5), **_THOUSANDTH},
        note=f"{_EPS}; {_EDGES}",
        sizes=sizes.EFFICIENTNET,
    ),
    Counterpart(
        "mmdet.HRNet",
        "timm:hrnet_w18_small",
        _HRNET,
        _BRANCHES,
        "mmseg's is another, see below",
        sizes=sizes.HRNET,
    ),
    Counterpart("mmdet.SwinTransformer", "swin_tiny", {}, _SWIN, _MERGING, sizes=sizes.SWIN),
    Counterpart(
        "mmdet.PyramidVisionTransformerV2",
        "timm:pvt_v2_b0",
        {"embed_dims": 32, "num_layers": [2, 2, 2, 2]},
        note="in_proj is q and kv",
        as_is=3e-5,  # b5 2.2e-5: each side has its own eps of norms; with one eps 1e-9 holds for all sizes
        sizes=sizes.PVT_V2,
    ),
    Counterpart("mmdet.SSDVGG", "vgg16", {"depth": 16, "ceil_mode": True}, note="without its fc6 and fc7"),
    Counterpart(
        "mmdet.CSPNeXt",
        "timm:cspnext_tiny",
        {
            "deepen_factor": 0.167,
            "widen_factor": 0.375,
            "norm_cfg": {"type": "BN"},
            "act_cfg": {"type": "SiLU"},
        },
        note="its ImageNet files; RTMDet's too",
        sizes=sizes.CSPNEXT,
    ),
    Counterpart("mmseg.ResNet", "resnet18", {"depth": 18}, sizes=sizes.BASIC),
    Counterpart("mmseg.ResNetV1c", "timm:resnet50c", {"depth": 50}, sizes=sizes.RESNET_V1C),
    Counterpart("mmseg.ResNetV1d", "timm:resnet50d", {"depth": 50}, sizes=sizes.RESNET_V1D),
    Counterpart("mmseg.ResNeXt", "resnext50_32x4d", _RESNEXT, sizes=sizes.RESNEXT),
    Counterpart("mmseg.ResNeSt", "timm:resnest50d", _RESNEST, sizes=sizes.RESNEST),
    Counterpart(
        "mmseg.MobileNetV2", "mobilenetv2_100", {"out_indices": (1, 2, 4, 6)}, sizes=sizes.MOBILENET_V2
    ),
    Counterpart(
        "mmseg.MobileNetV3",
        "timm:tf_mobilenetv3_large_100",
        {"arch": "large", "out_indices": (1, 3, 6)},
        {"out_strides": (2, 4, 8), "norm_cfg": {"type": "BN", "eps": 1e-5}},
        f"{_EDGES}; ours with eps=1e-5; behind stride 8 its dilations are others than output_stride=8 (1 %)",
    ),
    Counterpart("mmseg.SwinTransformer", "swin_tiny", {}, _SWIN, _MERGING, sizes=sizes.SWIN),
    Counterpart(
        "mmseg.VisionTransformer",
        "vit_tiny",
        {"img_size": 224, "embed_dims": 192, "num_heads": 3, "patch_bias": True, "norm_cfg": _LN},
        note="with patch_bias",
        sizes=sizes.VIT,
    ),
    Counterpart("mmseg.BEiT", "beit_base", {"img_size": 224, "qv_bias": True}, as_is=2e-5, sizes=sizes.BEIT),
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
        as_is=2e-5,
        sizes=sizes.PCPVT,
    ),
    Counterpart(
        "mmseg.SVT",
        "timm:twins_svt_small",
        {
            "embed_dims": [64, 128, 256, 512],
            "num_heads": [2, 4, 8, 16],
            "patch_sizes": [4, 2, 2, 2],
            "strides": [4, 2, 2, 2],
            "mlp_ratios": [4, 4, 4, 4],
            "depths": [2, 2, 10, 4],
            "sr_ratios": [8, 4, 2, 1],
            "windiow_sizes": [7, 7, 7, 7],
            "out_indices": (0, 1, 2, 3),
            "qkv_bias": True,
        },
        note="in_proj is q and kv; its norms are of the maps",
        side=224,
        as_is=2e-5,
        sizes=sizes.SVT,
    ),
    Counterpart(
        "mmseg.MAE",
        "beit_base",
        {"img_size": 224, "init_values": 1.0},
        {"net_kwargs": {"use_abs_pos_emb": True}},
        "its keys have a bias, which no softmax sees: left out",
        as_is=2e-5,
    ),
    Counterpart(
        "mmseg.TIMMBackbone",
        "resnet18",
        {"model_name": "resnet18", "features_only": True, "pretrained": False},
        note="of any timm model, with timm's names",
    ),
    Counterpart("mmpretrain.ResNet", "resnet18", {"depth": 18}, sizes=sizes.BASIC),
    Counterpart("mmpretrain.ResNetV1c", "timm:resnet50c", {"depth": 50}, sizes=sizes.RESNET_V1C),
    Counterpart("mmpretrain.ResNetV1d", "timm:resnet50d", {"depth": 50}, sizes=sizes.RESNET_V1D),
    Counterpart("mmpretrain.ResNeXt", "resnext50_32x4d", {"depth": 50}, sizes=sizes.RESNEXT_OF_MMPRETRAIN),
    Counterpart("mmpretrain.ResNeSt", "timm:resnest50d", {"depth": 50}, sizes=sizes.RESNEST),
    Counterpart(
        "mmpretrain.SEResNet", "seresnet50", {"depth": 50}, sizes=sizes.depths("seresnet{}", 101, 152)
    ),
    Counterpart(
        "mmpretrain.SEResNeXt",
        "seresnext50_32x4d",
        {"depth": 50},
        sizes=sizes.depths("seresnext{}_32x4d", 101),
    ),
    Counterpart("mmpretrain.RegNet", "regnetx_004", {"arch": "regnetx_400mf"}, sizes=sizes.REGNET),
    Counterpart("mmpretrain.HRNet", "timm:hrnet_w18_small", _HRNET, _BRANCHES, sizes=sizes.HRNET),
    Counterpart(
        "mmpretrain.MobileNetV2", "mobilenetv2_100", {"out_indices": (1, 2, 4, 6)}, sizes=sizes.MOBILENET_V2
    ),
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
        sizes=sizes.EFFICIENTNET,
    ),
    Counterpart(
        "mmpretrain.EfficientNetV2",
        "timm:tf_efficientnetv2_b0",
        {"arch": "b0", "out_indices": (2, 3, 5, 6), **_THOUSANDTH},
        note=f"{_EPS}; {_EDGES}",
        sizes=sizes.EFFICIENTNET_V2,
    ),
    Counterpart(
        "mmpretrain.VisionTransformer", "vit_tiny", {"arch": "deit-t", **_RAW}, sizes=sizes.VIT_OF_MMPRETRAIN
    ),
    Counterpart("mmpretrain.VisionTransformer", "deit_tiny", {"arch": "deit-t", **_RAW}, sizes=sizes.DEIT),
    Counterpart(
        "mmpretrain.VisionTransformer",
        "vit_small_patch14_dinov2",
        {"arch": "dinov2-small", "patch_size": 14, "layer_scale_init_value": 1e-5, **_RAW, "img_size": 518},
        sizes={"vit_base_patch14_dinov2": {"arch": "dinov2-base"}},
    ),
    Counterpart(
        "mmpretrain.DistilledVisionTransformer",
        "timm:deit_tiny_distilled_patch16_224",
        {"arch": "deit-t", **_RAW},
        sizes=sizes.DISTILLED,
    ),
    Counterpart(
        "mmpretrain.BEiTViT", "beit_base", {"arch": "base", **_RAW}, sizes={"beit_large": {"arch": "l"}}
    ),
    Counterpart(
        "mmpretrain.SwinTransformer",
        "swin_tiny",
        {"arch": "tiny", "pad_small_map": True},
        _SWIN,
        _MERGING,
        sizes=sizes.SWIN_OF_MMPRETRAIN,
    ),
    Counterpart(
        "mmpretrain.SwinTransformerV2",
        "swinv2_tiny",
        {"arch": "tiny", "window_size": 8, "img_size": 256},
        note=_MERGING,
        sizes=sizes.SWIN_V2,
    ),
    Counterpart(
        "mmpretrain.ConvNeXt",
        "convnext_atto",
        {"arch": "atto", "gap_before_final_norm": False},
        sizes=sizes.CONVNEXT,
    ),
    Counterpart(
        "mmpretrain.ConvNeXt",
        "convnextv2_atto",
        {"arch": "atto", "layer_scale_init_value": 0.0, "use_grn": True, "gap_before_final_norm": False},
        sizes=sizes.CONVNEXT_V2,
    ),
    Counterpart("mmpretrain.CSPDarkNet", "cspdarknet53", {"depth": 53}),
    Counterpart("mmpretrain.CSPResNet", "timm:cspresnet50", {"depth": 50}),
    Counterpart("mmpretrain.CSPResNeXt", "timm:cspresnext50", {"depth": 50}),
    Counterpart(
        "mmpretrain.RepVGG", "timm:repvgg_a0", {"arch": "A0", "out_indices": (0, 1, 2, 3)}, sizes=sizes.REPVGG
    ),
    Counterpart(
        "mmpretrain.EdgeNeXt",
        "timm:edgenext_xx_small",
        {"arch": "xxsmall", "out_indices": (0, 1, 2, 3), "gap_before_final_norm": False},
        as_is=2e-5,
        sizes=sizes.EDGENEXT,
    ),
    Counterpart(
        "mmpretrain.PoolFormer",
        "timm:poolformer_s12",
        {"arch": "s12", "out_indices": (0, 2, 4, 6)},
        note="without its norms behind the maps",
        sizes=sizes.POOLFORMER,
    ),
    Counterpart(
        "mmpretrain.MobileViT",
        "timm:mobilevit_xxs",
        {"arch": "xx_small", "out_indices": (1, 2, 3, 4)},
        sizes=sizes.MOBILE_VIT,
    ),
    Counterpart(
        "mmpretrain.MobileOne",
        "timm:mobileone_s0",
        {"arch": "s0", "out_indices": (0, 1, 2, 3)},
        sizes=sizes.MOBILE_ONE,
    ),
    Counterpart(
        "mmpretrain.EfficientFormer",
        "timm:efficientformer_l1",
        {"arch": "l1", "out_indices": (0, 1, 2, 3)},
        note="without its norms behind the maps",
        side=224,
        sizes=sizes.EFFICIENTFORMER,
    ),
    Counterpart(
        "mmpretrain.LeViT",
        "timm:levit_128s",
        {"arch": "128s", "img_size": 224, "out_indices": (0, 1)},
        note="strides 16 and 32",
        sizes=sizes.LEVIT,
    ),
    Counterpart(
        "mmpretrain.TinyViT",
        "timm:tiny_vit_5m_224",
        {"arch": "5m", "out_indices": (3,), "gap_before_final_norm": False},
        note="its other maps are behind the next stage's patch merging; without the norm",
        side=224,
        sizes=sizes.TINY_VIT,
    ),
    Counterpart(
        "mmpretrain.MViT",
        "timm:mvitv2_tiny",
        {"arch": "tiny", "out_scales": (0, 1, 2, 3)},
        note="without its norms behind the maps",
        sizes=sizes.MVIT,
    ),
    Counterpart(
        "mmpretrain.ConvMixer",
        "timm:convmixer_768_32",
        {"arch": "768/32", "act_cfg": {"type": "ReLU"}},
        sizes=sizes.CONVMIXER,
    ),
    Counterpart(
        "mmpretrain.Res2Net",
        "timm:res2net50_26w_4s",
        {"depth": 50, "scales": 4, "base_width": 26, "deep_stem": False, "avg_down": False},
        note="with deep_stem=True it is refused, see below",
        sizes=sizes.RES2NET,
    ),
    Counterpart("mmpretrain.AlexNet", "alexnet", {}, {"repair_padding": False}, at="features.11"),
    Counterpart("mmpretrain.VGG", "vgg11", {"depth": 11}, sizes=sizes.depths("vgg{}", 13, 16, 19)),
    Counterpart(
        "mmpretrain.VGG",
        "vgg11_bn",
        {"depth": 11, "norm_cfg": {"type": "BN"}},
        sizes=sizes.depths("vgg{}_bn", 13, 16, 19),
    ),
    Counterpart("mmpretrain.DenseNet", "densenet121", {"arch": "121"}, sizes=sizes.DENSENET),
    Counterpart(
        "mmpretrain.ShuffleNetV2", "shufflenet_v2_x1_0", {"out_indices": (0, 1, 2)}, sizes=sizes.SHUFFLENET_V2
    ),
    Counterpart(
        "mmpretrain.XCiT",
        "timm:xcit_nano_12_p16_224",
        {"embed_dims": 128, "depth": 12, "num_heads": 4, "out_type": "featmap", "out_indices": (11,)},
        note="without its class attention, which changes no map",
        side=224,
        sizes=sizes.XCIT,
    ),
    Counterpart(
        "mmpretrain.MlpMixer",
        "timm:mixer_s16_224",
        {"arch": "s"},
        as_is=2e-5,
        at="layers.-1",
        side=224,
        sizes=sizes.MIXER,
    ),
    Counterpart(
        "mmpretrain.TNT",
        "timm:tnt_s_legacy_patch16_224",
        {"arch": "s"},
        note="in_proj is qk and v; timm's tnt_s and tnt_b are later ones, of other layers",
        at="layers.-1",
        side=224,
    ),
    Counterpart(
        "mmpretrain.SVT",
        "timm:twins_svt_small",
        {"arch": "small", **_TWINS},
        side=224,
        as_is=2e-5,
        sizes=sizes.archs("timm:twins_svt_{}", "base", "large"),
    ),
    Counterpart(
        "mmpretrain.PCPVT",
        "timm:twins_pcpvt_small",
        {"arch": "small", **_TWINS},
        as_is=2e-5,
        sizes=sizes.archs("timm:twins_pcpvt_{}", "base", "large"),
    ),
    Counterpart(
        "mmpretrain.TIMMBackbone",
        "resnet18",
        {"model_name": "resnet18", "features_only": True, "pretrained": False},
        note="of any timm model, with timm's names",
    ),
    Counterpart("mmpretrain.InceptionV3", "inception_v3", {}, {"repair_padding": False}, at="Mixed_7c"),
)
