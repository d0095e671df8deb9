"""Networks that neither timm nor torchvision has, written in :mod:`mmbackbones.native`; no weights exist.

The networks of Caffe's time took BGR images of 0..255 less (104, 117, 123); training from fresh
weights, they take the usual ImageNet mean and deviation here.
"""

from functools import partial

from .row import HALF, row
from .spec import Spec

_row = partial(row, source="native")

# fmt: off
ROWS: tuple[Spec, ...] = (
    _row("lenet5", "lenet", (6, 16), 2_872, 0.05268, "10.1109/5.726791", 1998, upstream="lenet.lenet5"),
    _row("alexnet_original", "alexnet", (96, 256, 256, 256), 2_334_080, 0.7403, "10.1145/3065386", 2012,
         upstream="alexnet.alexnet_original", first_stride=4),
    _row("zfnet", "zfnet", (96, 96, 256, 256, 256), 3_726_464, 1.266, "1311.2901", 2013,
         upstream="zfnet.zfnet"),
    _row("overfeat_fast", "overfeat", (96, 256, 1024, 1024), 15_987_584, 3.597, "1312.6229", 2013,
         upstream="overfeat.overfeat_fast", first_stride=4),
    _row("nin", "nin", (96, 256, 384, 1024), 6_570_176, 1.208, "1312.4400", 2013, upstream="nin.nin",
         first_stride=4),
    _row("googlenet_original", "inception", (64, 192, 480, 832, 1024), 5_973_552, 1.582, "1409.4842", 2014,
         upstream="googlenet.googlenet_original"),
    _row("bn_inception", "inception", (64, 192, 320, 608, 1024), 10_270_240, 2.032, "1502.03167", 2015,
         upstream="bn_inception.bn_inception", aliases="inception_v2"),
    _row("se_bn_inception", "senet", (64, 192, 320, 608, 1024), 10_906_622, 2.032, "1709.01507", 2017,
         upstream="bn_inception.bn_inception", has_se=True,
         arguments={"attention": "se", "conv_bias": False}),
    _row("inception_resnet_v1", "inception_resnet", (64, 192, 256, 896, 1792), 20_963_328, 4.106,
         "1602.07261", 2016, upstream="inception_resnet.inception_resnet_v1", **HALF),
    _row("se_inception_resnet_v2", "senet", (64, 192, 320, 1088, 1536), 62_850_444, 8.871, "1709.01507", 2017,
         upstream="inception_resnet.se_inception_resnet_v2", has_se=True, **HALF),
    _row("cbam_resnet50", "cbam", (64, 256, 512, 1024, 2048), 26_040_624, 4.094, "1807.06521", 2018,
         upstream="attention_resnet.cbam_resnet50", has_se=True),
    _row("attention56", "residual_attention", (64, 256, 512, 1024, 2048), 29_761_728, 6.269, "1704.06904",
         2017, upstream="residual_attention.residual_attention", dilatable=False,
         arguments={"modules": (1, 1, 1)}),
    _row("attention92", "residual_attention", (64, 256, 512, 1024, 2048), 50_417_344, 10.53, "1704.06904",
         2017, upstream="residual_attention.residual_attention", dilatable=False,
         arguments={"modules": (1, 2, 3)}),
    _row("mobilenetv1_025", "mobilenetv1", (16, 32, 64, 128, 256), 213_072, 0.04077, "1704.04861", 2017,
         upstream="mobilenetv1.mobilenetv1", **HALF, arguments={"width": 0.25}),
    _row("mobilenetv1_050", "mobilenetv1", (32, 64, 128, 256, 512), 818_592, 0.149, "1704.04861", 2017,
         upstream="mobilenetv1.mobilenetv1", **HALF, arguments={"width": 0.5}),
    _row("mobilenetv1_075", "mobilenetv1", (48, 96, 192, 384, 768), 1_816_560, 0.3246, "1704.04861", 2017,
         upstream="mobilenetv1.mobilenetv1", **HALF, arguments={"width": 0.75}),
    _row("shufflenet_v1_g1", "shufflenet_v1", (24, 24, 144, 288, 576), 954_936, 0.1425, "1707.01083", 2017,
         upstream="shufflenet_v1.shufflenet_v1", arguments={"groups": 1, "width": 1.0}),
    _row("shufflenet_v1_g2", "shufflenet_v1", (24, 24, 200, 400, 800), 932_848, 0.14, "1707.01083", 2017,
         upstream="shufflenet_v1.shufflenet_v1", arguments={"groups": 2, "width": 1.0}),
    _row("shufflenet_v1_g3", "shufflenet_v1", (24, 24, 240, 480, 960), 904_728, 0.1365, "1707.01083", 2017,
         upstream="shufflenet_v1.shufflenet_v1", arguments={"groups": 3, "width": 1.0},
         aliases="shufflenet_v1"),
    _row("shufflenet_v1_g4", "shufflenet_v1", (24, 24, 272, 544, 1088), 879_344, 0.1333, "1707.01083", 2017,
         upstream="shufflenet_v1.shufflenet_v1", arguments={"groups": 4, "width": 1.0}),
    _row("shufflenet_v1_g8", "shufflenet_v1", (24, 24, 384, 768, 1536), 897_768, 0.1368, "1707.01083", 2017,
         upstream="shufflenet_v1.shufflenet_v1", arguments={"groups": 8, "width": 1.0}),
    _row("shufflenet_v1_g3_x0_5", "shufflenet_v1", (12, 12, 120, 240, 480), 237_324, 0.03711, "1707.01083",
         2017, upstream="shufflenet_v1.shufflenet_v1", arguments={"groups": 3, "width": 0.5}),
    _row("shufflenet_v1_g3_x1_5", "shufflenet_v1", (24, 24, 360, 720, 1440), 2_001_168, 0.291, "1707.01083",
         2017, upstream="shufflenet_v1.shufflenet_v1", arguments={"groups": 3, "width": 1.5}),
    _row("shufflenet_v1_g3_x2_0", "shufflenet_v1", (48, 48, 480, 960, 1920), 3_529_776, 0.5221, "1707.01083",
         2017, upstream="shufflenet_v1.shufflenet_v1", arguments={"groups": 3, "width": 2.0}),
    _row("shufflenet_v1_g8_x0_5", "shufflenet_v1", (16, 16, 192, 384, 768), 242_448, 0.0397, "1707.01083",
         2017, upstream="shufflenet_v1.shufflenet_v1", arguments={"groups": 8, "width": 0.5}),
    _row("shufflenet_v1_g8_x1_5", "shufflenet_v1", (24, 24, 576, 1152, 2304), 1_964_952, 0.2879, "1707.01083",
         2017, upstream="shufflenet_v1.shufflenet_v1", arguments={"groups": 8, "width": 1.5}),
    _row("shufflenet_v1_g8_x2_0", "shufflenet_v1", (48, 48, 768, 1536, 3072), 3_449_232, 0.5189, "1707.01083",
         2017, upstream="shufflenet_v1.shufflenet_v1", arguments={"groups": 8, "width": 2.0}),
    _row("cspdarknet53_tiny", "darknet", (32, 128, 256, 512, 512), 3_629_728, 0.743, "2011.08036", 2020,
         upstream="csp_darknet.cspdarknet53_tiny", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
    _row("densenet264", "densenet", (64, 256, 512, 2304, 2688), 30_648_704, 5.749, "1608.06993", 2016,
         upstream="densenet.densenet264"),
)
