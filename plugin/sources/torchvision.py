"""Classification networks of torchvision: chains of modules, run step by step with taps between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from ..errors import InputError, nearest
from .feature_net import ChainNet
from .first_conv import replace_first_conv


@dataclass(frozen=True)
class Chain:
    """How a torchvision class runs: names of children in order, ``*`` for each child of a container.

    The list ends with the last step that a detector taps, as ``params.csv``-like tables of the
    families do: not with a 1x1 convolution that only feeds the classifier.
    """

    steps: str
    channels_last: bool = False
    arguments: tuple[tuple[str, Any], ...] = ()
    drop: int = 0  # steps at the end of the last container that only feed the classifier


_NO_AUX = (("aux_logits", False), ("init_weights", True))
#: torchvision class -> its chain.
CHAINS: dict[str, Chain] = {
    "AlexNet": Chain("features.*"),
    "ConvNeXt": Chain("features.*"),
    "DenseNet": Chain("features.*"),
    "EfficientNet": Chain("features.*", drop=1),
    "GoogLeNet": Chain(
        "conv1 maxpool1 conv2 conv3 maxpool2 inception3a inception3b maxpool3 inception4a inception4b "
        "inception4c inception4d inception4e maxpool4 inception5a inception5b",
        arguments=_NO_AUX,
    ),
    "Inception3": Chain(
        "Conv2d_1a_3x3 Conv2d_2a_3x3 Conv2d_2b_3x3 maxpool1 Conv2d_3b_1x1 Conv2d_4a_3x3 maxpool2 Mixed_5b "
        "Mixed_5c Mixed_5d Mixed_6a Mixed_6b Mixed_6c Mixed_6d Mixed_6e Mixed_7a Mixed_7b Mixed_7c",
        arguments=_NO_AUX,
    ),
    "MaxVit": Chain("stem blocks.*"),
    "MNASNet": Chain("layers.*", drop=3),
    "MobileNetV2": Chain("features.*", drop=1),
    "MobileNetV3": Chain("features.*"),
    "RegNet": Chain("stem trunk_output.*"),
    "ResNet": Chain("conv1 bn1 relu maxpool layer1 layer2 layer3 layer4"),
    "ShuffleNetV2": Chain("conv1 maxpool stage2 stage3 stage4"),
    "SqueezeNet": Chain("features.*"),
    "SwinTransformer": Chain("features.*", channels_last=True),
    "VGG": Chain("features.*"),
}


#: How a constructor calls the size of the image for which it builds a network.
SIZE_ARGUMENT = "input_size"
CLASSIFIERS = ("fc", "classifier", "head", "AuxLogits", "aux1", "aux2")


def open_torchvision(name: str, in_channels: int, net_kwargs: dict[str, Any]) -> ChainNet:
    """Build torchvision's ``name`` without its classifier.

    Raises:
        InputError: torchvision has no such network, it is no chain, or it refuses ``net_kwargs``.
    """
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        near = nearest(name, known)
        raise InputError(f"torchvision has no model '{name}'. Nearest: {', '.join(near) or 'none'}.")
    chain = _chain_of(name)
    try:
        net = models.get_model(name, weights=None, **{**dict(chain.arguments), **net_kwargs})
    except TypeError as error:
        raise InputError(f"torchvision's '{name}' refuses net_kwargs={net_kwargs}: {error}") from error
    steps = _steps(net, chain)
    for prefix in CLASSIFIERS:
        if hasattr(net, prefix):
            setattr(net, prefix, nn.Identity())
    if in_channels != 3:
        replace_first_conv(net, in_channels)
    return ChainNet(net, steps, channels_last=chain.channels_last, classifier=CLASSIFIERS)


def free_by_flag(upstream: str) -> bool:
    """No network of torchvision has a flag that makes it take any size."""
    return False


def build_sized(upstream: str, arguments: dict[str, Any], size: tuple[int, int]) -> nn.Module:
    """torchvision's model for images of ``size``, height and width in pixels."""
    from torchvision import models

    fixed = dict(_chain_of(upstream).arguments)
    return models.get_model(upstream, weights=None, **{**fixed, **arguments, SIZE_ARGUMENT: size})


def native_size(upstream: str, arguments: dict[str, Any]) -> tuple[int, int]:
    """The size for which torchvision builds the model, if it builds it for one."""
    given = arguments.get(SIZE_ARGUMENT, (224, 224))
    return given[0], given[1]


def _chain_of(name: str) -> Chain:
    from torchvision import models

    kind = models.get_model_builder(name).__annotations__.get("return", "")
    kind = kind if isinstance(kind, str) else kind.__name__
    if kind not in CHAINS:
        raise InputError(
            f"torchvision's '{name}' ({kind}) is not a chain of modules with maps at several strides. "
            f"Classes that work: {', '.join(CHAINS)}. timm has transformers: `mmbackbones list`."
        )
    return CHAINS[kind]


def _steps(net: nn.Module, chain: Chain) -> tuple[str, ...]:
    """The chain's module paths with ``*`` written out."""
    paths: list[str] = []
    for step in chain.steps.split():
        if step.endswith(".*"):
            container = step[:-2]
            paths += [f"{container}.{child}" for child, _ in net.get_submodule(container).named_children()]
        else:
            paths.append(step)
    return tuple(paths[: len(paths) - chain.drop])
