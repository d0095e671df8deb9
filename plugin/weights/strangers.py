"""Classes of OpenMMLab that no backbone here computes, and networks whose files only look like one's here."""

from __future__ import annotations

_NOWHERE = "neither timm nor torchvision has it"
_SAC = "its switchable convolutions are nowhere else: refused; without them it is mmdet.{}, and loads"
_BRANCHES = "a part of a segmentor, with branches that exchange maps: neither timm nor torchvision has it"

#: Backbones of mmdet, mmseg and mmpretrain without a row in the table of counterparts, and why.
STRANGERS = {
    "mmdet.CSPDarknet": "it is YOLOX's, which begins with slices of the image",
    "mmdet.Darknet": "its leaky ReLUs have a slope of 0.1, those of darknet53 one of 0.01: refused",
    "mmdet.DetectoRS_ResNet": _SAC.format("ResNet"),
    "mmdet.DetectoRS_ResNeXt": _SAC.format("ResNeXt"),
    "mmdet.HourglassNet": _NOWHERE,
    "mmdet.PyramidVisionTransformer": f"the first PVT: {_NOWHERE}, timm has its second",
    "mmdet.Res2Net": "its deep stem leaves out the pool of the first block, which res2net50d has: refused",
    "mmdet.TridentResNet": "it dilates its third stage, and has no fourth: refused where the config in the "
    "file says so, and without one for all nets with a fourth stage",
    "mmseg.BiSeNetV1": _BRANCHES,
    "mmseg.BiSeNetV2": _BRANCHES,
    "mmseg.CGNet": _NOWHERE,
    "mmseg.DDRNet": _BRANCHES,
    "mmseg.DeconvModule": "no backbone, but a part of mmseg's UNet",
    "mmseg.ERFNet": _NOWHERE,
    "mmseg.FastSCNN": _BRANCHES,
    "mmseg.HRNet": "it enlarges maps between its branches bilinearly, timm's and mmdet's take the nearest "
    "cell: maps differ by 10 %. A segmentor's file is refused where the config in it says so, and warned of "
    "where it has none",
    "mmseg.ICNet": "it runs parts of a ResNetV1c on three sizes of the image, with layers of its own between "
    "them: refused; that ResNetV1c loads as timm:resnet50c with prefix='backbone.backbone.'",
    "mmseg.InterpConv": "no backbone, but a part of mmseg's UNet",
    "mmseg.MixVisionTransformer": _NOWHERE,
    "mmseg.MSCAN": _NOWHERE,
    "mmseg.PIDNet": _BRANCHES,
    "mmseg.STDCContextPathNet": _NOWHERE,
    "mmseg.STDCNet": _NOWHERE,
    "mmseg.UNet": "it holds encoder and decoder",
    "mmseg.VPD": "it is the network of Stable Diffusion, which reads a text",
    "mmpretrain.Conformer": _NOWHERE,
    "mmpretrain.DaViT": "it pads its first convolution by 1 and 2 pixels, the original and timm by 3: maps "
    "differ by 47 %, and by 1e-6 with its padding set to 3. Refused",
    "mmpretrain.DeiT3": "in mmpretrain 1.2 it runs ln1 twice and never ln2. Its files load, with the maps of "
    "the paper and of timm, not those of that class",
    "mmpretrain.HiViT": _NOWHERE,
    "mmpretrain.HorNet": _NOWHERE,
    "mmpretrain.LeNet5": "it pads nothing, reads grey images and has a plain tanh, the paper and lenet5 one "
    "of 1.7159 tanh(2x/3): refused",
    "mmpretrain.MixMIMTransformer": _NOWHERE,
    "mmpretrain.PyramidVig": _NOWHERE,
    "mmpretrain.RIFormer": "it has no pool where a PoolFormer has one: refused",
    "mmpretrain.RepLKNet": _NOWHERE,
    "mmpretrain.RepMLPNet": _NOWHERE,
    "mmpretrain.ResNet_CIFAR": "its first convolution is 3x3 of stride 1, for images of 32 pixels: refused",
    "mmpretrain.RevVisionTransformer": f"its layers are reversible: {_NOWHERE}",
    "mmpretrain.ShuffleNetV1": "it shuffles behind the depth-wise convolution, the paper before it: refused",
    "mmpretrain.SparseConvNeXt": "it convolves what a mask leaves of an image; its weights are a ConvNeXt's, "
    "and load as that",
    "mmpretrain.SparseResNet": "it convolves what a mask leaves of an image; its weights are a ResNet's, and "
    "load as that",
    "mmpretrain.T2T_ViT": _NOWHERE,
    "mmpretrain.VAN": _NOWHERE,
    "mmpretrain.ViTEVA02": "it turns neighbouring channels by different frequencies, the original and timm "
    "by the same one: maps differ by 1.5 %. Refused",
    "mmpretrain.ViTSAM": "its files load into samvit_base_patch16 and larger ones: at the image size it was "
    "made for with the same maps (4e-6, by the eps of layer norms), at others its tables of positions are "
    "enlarged otherwise, and maps differ by 9 %",
    "mmpretrain.Vig": _NOWHERE,
}

#: Networks of OpenMMLab with the shapes of ours that compute something else: names that a file has all, why
#: it is refused, and what to take instead.
OTHERS = (
    (
        {"backbone.stem.0.weight", "conv_sub1.0.conv.weight"},
        "mmseg's ICNet runs parts of a ResNetV1c on three sizes of the image, with layers of its own between "
        "them: no backbone here does",
        "Take mmseg.ICNet, or its ResNetV1c alone: init_cfg=dict(type='Pretrained', checkpoint=..., "
        "prefix='backbone.backbone.') of timm:resnet50c",
    ),
    (
        {"stem.0.weight", "layer1.0.convs.0.weight"},
        "OpenMMLab's Res2Net leaves out the pool of its first block, which timm's has: C2 differs by 8 %",
        "Take timm's weights, pretrained=True of timm:res2net50d, or mmdet.Res2Net",
    ),
    (
        {"conv1.conv.weight", "conv_res_block1.conv.conv.weight"},
        "mmdet's Darknet has a slope of 0.1 in its leaky ReLUs, darknet53 one of 0.01: C5 differs by 40 %",
        "Take timm's weights, pretrained=True of darknet53, or mmdet.Darknet",
    ),
    (
        {"conv1.conv.weight", "layers.0.0.g_conv_1x1_compress.conv.weight"},
        "mmpretrain's ShuffleNetV1 shuffles behind the depth-wise convolution, the paper (arXiv 1707.01083, "
        "sec. 3.2) before it: C2 differs by half",
        "Take mmpretrain.ShuffleNetV1",
    ),
    (
        {"patch_embed.projection.weight", "stages.0.blocks.0.spatial_block.cpe1.proj.weight"},
        "mmpretrain's DaViT pads its first convolution by 1 and 2 pixels, the original (arXiv 2204.03645) by "
        "3 on each side: C5 differs by 47 %",
        "Take timm's weights, pretrained=True of timm:davit_tiny, or mmpretrain.DaViT",
    ),
    (
        {"patch_embed.projection.weight", "layers.0.attn.qkv.bias", "layers.0.attn.rope.freqs_cos"},
        "mmpretrain's ViTEVA02 turns neighbouring channels by different frequencies, the original (arXiv "
        "2303.11331) by the same one: the last map differs by 1.5 %",
        "Take timm's weights, pretrained=True of eva02_tiny, or mmpretrain.ViTEVA02",
    ),
    (
        {"patch_embed.proj.weight", "network.0.0.norm_reparam.weight"},
        "mmpretrain's RIFormer has no pool, which a PoolFormer has: C2 differs",
        "Take timm's weights, pretrained=True of timm:poolformer_s12, or mmpretrain.RIFormer",
    ),
)
