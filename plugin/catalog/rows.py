"""The catalog: one row per backbone, data only. A new backbone is one more row.

Channels are listed by doubling stride. ``timm`` and ``torchvision`` list the tags of the weights that
fit the row's parameter names, the default first. Figures are held against the networks by the tests.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..spec import IMAGENET_MEAN, IMAGENET_STD, Spec


def _row(
    name: str,
    family: str,
    channels: Sequence[int],
    params: int,
    paper: str,
    year: int,
    *,
    source: str = "timm",
    first_stride: int = 2,
    has_se: bool = False,
    dilatable: bool = True,
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
    timm: str = "",
    torchvision: str = "",
    aliases: str = "",
) -> Spec:
    weights = [f"timm://{name}.{tag}" for tag in timm.split()]
    weights += [f"torchvision://{name}.{tag}" for tag in torchvision.split()]
    return Spec(
        name=name,
        source=source,
        upstream=name,
        family=family,
        channels={first_stride << index: width for index, width in enumerate(channels)},
        has_se=has_se,
        dilatable=dilatable,
        mean=mean,
        std=std,
        weights=tuple(weights),
        params=params,
        paper=paper,
        year=year,
        aliases=tuple(aliases.split()),
    )


_BASIC = (64, 64, 128, 256, 512)
_BOTTLENECK = (64, 256, 512, 1024, 2048)
_VGG = (64, 128, 256, 512, 512, 512)
_TINY = (96, 192, 384, 768)
_FB = "fb_ssl_yfcc100m_ft_in1k fb_swsl_ig1b_ft_in1k"

ROWS: tuple[Spec, ...] = (
    _row("resnet18", "resnet", _BASIC, 11_176_512, "1512.03385", 2015,
         timm=f"a1_in1k a2_in1k a3_in1k {_FB} gluon_in1k tv_in1k", torchvision="IMAGENET1K_V1"),
    _row("resnet34", "resnet", _BASIC, 21_284_672, "1512.03385", 2015,
         timm="a1_in1k a2_in1k a3_in1k bt_in1k gluon_in1k ra4_e3600_r224_in1k tv_in1k",
         torchvision="IMAGENET1K_V1"),
    _row("resnet50", "resnet", _BOTTLENECK, 23_508_032, "1512.03385", 2015,
         timm="a1_in1k a1h_in1k a2_in1k a3_in1k am_in1k b1k_in1k b2k_in1k bamboo bt_in1k c1_in1k c2_in1k "
              f"d_in1k {_FB} gluon_in1k ra_in1k ram_in1k tv2_in1k tv_in1k",
         torchvision="IMAGENET1K_V1 IMAGENET1K_V2"),
    _row("resnet101", "resnet", _BOTTLENECK, 42_500_160, "1512.03385", 2015,
         timm="a1h_in1k a1_in1k a2_in1k a3_in1k gluon_in1k tv2_in1k tv_in1k",
         torchvision="IMAGENET1K_V1 IMAGENET1K_V2"),
    _row("resnext50_32x4d", "resnext", _BOTTLENECK, 22_979_904, "1611.05431", 2016,
         timm=f"a1h_in1k a1_in1k a2_in1k a3_in1k {_FB} gluon_in1k ra_in1k tv2_in1k tv_in1k",
         torchvision="IMAGENET1K_V1 IMAGENET1K_V2"),
    _row("mobilenetv2_100", "mobilenetv2", (16, 24, 32, 96, 320), 1_811_712, "1801.04381", 2018,
         timm="ra_in1k", aliases="mobilenetv2"),
    _row("mobilenetv3_large_100", "mobilenetv3", (16, 24, 40, 112, 960), 2_971_952, "1905.02244", 2019,
         has_se=True, timm="ra_in1k miil_in21k_ft_in1k miil_in21k ra4_e3600_r224_in1k",
         aliases="mobilenetv3_large"),
    _row("mobilenetv3_small_100", "mobilenetv3", (16, 16, 24, 48, 576), 927_008, "1905.02244", 2019,
         has_se=True, timm="lamb_in1k", aliases="mobilenetv3_small"),
    _row("efficientnet_b0", "efficientnet", (16, 24, 40, 112, 320), 3_595_388, "1905.11946", 2019,
         has_se=True, timm="ra_in1k ra4_e3600_r224_in1k"),
    _row("shufflenet_v2_x1_0", "shufflenet_v2", (24, 24, 116, 232, 464), 776_420, "1807.11164", 2018,
         source="torchvision", torchvision="IMAGENET1K_V1", aliases="shufflenet_v2"),
    _row("regnety_040", "regnet", (32, 128, 192, 512, 1088), 19_557_656, "2003.13678", 2020,
         has_se=True, timm="ra3_in1k pycls_in1k"),
    _row("regnety_080", "regnet", (32, 168, 448, 896, 2016), 37_163_068, "2003.13678", 2020,
         has_se=True, timm="ra3_in1k pycls_in1k"),
    _row("vgg16", "vgg", _VGG, 14_714_688, "1409.1556", 2014, first_stride=1,
         timm="tv_in1k", torchvision="IMAGENET1K_V1"),
    _row("vgg16_bn", "vgg", _VGG, 14_723_136, "1409.1556", 2014, first_stride=1,
         timm="tv_in1k", torchvision="IMAGENET1K_V1"),
    _row("densenet121", "densenet", (64, 256, 512, 1024, 1024), 6_953_856, "1608.06993", 2016,
         timm="ra_in1k tv_in1k", torchvision="IMAGENET1K_V1"),
    _row("swin_tiny_patch4_window7_224", "swin", _TINY, 27_517_818, "2103.14030", 2021,
         first_stride=4, dilatable=False, timm="ms_in1k ms_in22k_ft_in1k ms_in22k", aliases="swin_tiny"),
    _row("convnext_tiny", "convnext", _TINY, 27_818_592, "2201.03545", 2022, first_stride=4,
         timm="in12k_ft_in1k in12k_ft_in1k_384 in12k fb_in22k_ft_in1k fb_in22k_ft_in1k_384 fb_in22k fb_in1k "
              "dinov3_lvd1689m eupe_lvd1689m"),
)  # fmt: skip
