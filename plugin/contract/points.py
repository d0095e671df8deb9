"""The points of the contract, each a function that says what it saw, or raises."""

from __future__ import annotations

import copy
import math
import tempfile
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from ..backbone import Backbone
from ..errors import InputError
from ..feature_nets.own import known_own, says, taps_of
from ..feature_nets.steps import open_traced
from ..registry import MODELS, SCOPE
from ..sources import open_net
from ..sources.feature_net import PYRAMID_NAME
from ..surgery.dilatable import can_dilate
from ..tracing.norms import is_norm
from ..tracing.stages import STAGES
from ..weights.loading import some
from .alignment import averaging, beside, offsets
from .point import FailsError, LeaveOutError, Subject, differs, loss

_NAMES = "Let state_dict() call parameters as named_parameters() does."
#: Height and width of images of which no stride divides both, beside the smallest that is promised.
SIZES = ((64, 64), (97, 133), (131, 66))


def built(subject: Subject) -> str:
    """The name is a registered type, and what is known of it is what it has."""
    spec, net = subject.spec, subject.net
    if ":" not in spec.name and not issubclass(MODELS.get(spec.name), Backbone):
        raise FailsError(f"{SCOPE}.{spec.name} is another type", "Register it under another name.")
    if (net.out_channels, net.out_strides) != (tuple(spec.channels.values()), spec.strides):
        raise FailsError(
            f"it has {net.out_channels} channels at strides {net.out_strides}, its row says {spec.channels}",
            "Let the factory build the same network each time.",
        )
    text = f"strides {spec.strides}, channels {tuple(spec.channels.values())}"
    return f"{text}; maps at {says(taps_of(spec.name))}" if spec.source == "own" else text


def sizes(subject: Subject) -> str:
    """Every map has ceil(size / stride) cells, in training too; the image stays as it is."""
    for training in (False, True):
        net = copy.deepcopy(subject.net).train(training)
        for high, wide in SIZES:
            x = subject.image(high, wide)
            before = x.clone()
            with torch.no_grad():
                maps = net(x)
            wanted = [
                (2, width, math.ceil(high / stride), math.ceil(wide / stride))
                for width, stride in zip(net.out_channels, net.out_strides, strict=True)
            ]
            if [tuple(fmap.shape) for fmap in maps] != wanted:
                raise FailsError(
                    f"for {high}x{wide} in {'train' if training else 'eval'}() the maps are "
                    f"{[tuple(fmap.shape) for fmap in maps]}, not {wanted}",
                    "Pad windows by half their size, and do the same in train() as in eval().",
                )
            if not torch.equal(x, before):
                raise FailsError("the image itself is changed", "Do not work in place on what forward gets.")
    return f"ceil(size / stride) cells at {', '.join(f'{high}x{wide}' for high, wide in SIZES)}"


def alignment(subject: Subject) -> str:
    """Cell (i, j) looks at ((i + 0.5) s, (j + 0.5) s), to within s / 2."""
    found = offsets(subject.built().eval())
    text = "; ".join(
        f"stride {stride}: {down:+} down, {right:+} right" for stride, (down, right) in found.items()
    )
    off = beside(found)
    if off and all(isinstance(module, _BatchNorm) or not is_norm(module) for module in subject.net.modules()):
        windows = beside(offsets(averaging(subject.built().eval()), averages=True))
        off = [stride for stride in off if stride in windows]  # the others looked beside by chance
    if off:
        raise FailsError(
            f"cells of stride {some(map(str, off))} look beside by more than half a cell ({text} pixels)",
            "Pad windows by half their size on all sides, and do not crop or roll maps. A detector learns a "
            "constant offset, at some cost; docs/alignment.md names nets of timm that have one.",
        )
    return f"{text} (pixels, random weights)"


def gradients(subject: Subject) -> str:
    """Every selection of strides gives the same maps and a gradient in every trainable parameter."""
    strides, x = subject.spec.strides, subject.image()
    state = subject.net.state_dict()
    with torch.no_grad():
        maps = dict(zip(strides, subject.net(x), strict=True))
    for asked in dict.fromkeys([*((stride,) for stride in strides), strides]):
        net = subject.built(out_strides=asked)
        net.load_state_dict({key: value for key, value in state.items() if key in net.state_dict()})
        with torch.no_grad():
            got = dict(zip(asked, net.eval()(x), strict=True))
        changed = [stride for stride in asked if differs(got[stride], maps[stride])]
        if changed:
            raise FailsError(
                f"asked for stride {some(map(str, asked))} alone, the map of {changed[0]} has other values",
                "Something behind a map works in place on it: write inplace=False, y = x + z for x += z.",
            )
        loss(net.train()(x)).backward()
        trained = {key: param for key, param in net.named_parameters() if param.requires_grad}
        without = [key for key, param in trained.items() if param.grad is None]
        if without:
            raise FailsError(
                f"with out_strides={asked} no gradient reaches {some(without)}",
                "Let forward use all that is built, without detach() and no_grad().",
            )
    return f"in all {len(trained)} trainable tensors, for each stride alone and for all"


def freezing(subject: Subject) -> str:
    """What is frozen stays as it is through train() and a step of training."""
    net, x = subject.built(), subject.image()
    for stage in range(STAGES, -1, -1):
        net.freeze(stage).eval()
        net.train()
        frozen = {key for key, param in net.named_parameters() if not param.requires_grad}
        owners = {key.rpartition(".")[0] for key in frozen}
        before = copy.deepcopy(net.state_dict())
        trained = [param for param in net.parameters() if param.requires_grad]
        value = loss(net(x))
        if trained:
            value.backward()
            torch.optim.SGD(trained, lr=0.1, weight_decay=0.1).step()
        moved = [
            key
            for key, new in net.state_dict().items()
            if (key in frozen or key.rpartition(".")[0] in owners) and not torch.equal(new, before[key])
        ]
        if moved:
            raise FailsError(
                f"frozen_stages={stage}: a step of training changes {some(moved)}",
                "Let nothing but autograd and batch norms write parameters and buffers.",
            )
    if not frozen:
        raise FailsError("frozen_stages=0 freezes nothing", "The first layer must be a module with weights.")
    return f"stages 0 to {STAGES} keep weights and statistics; the stem is {some(sorted(owners - {''}))}"


def dilation(subject: Subject) -> str:
    """The map of ``output_stride``, sampled at every 2nd or 4th cell, is the ordinary one."""
    spec = subject.spec
    if not spec.dilatable:
        raise LeaveOutError(
            "it cannot be dilated, and output_stride is refused: its maps are reduced or read by other means "
            "than modules of convolution and pooling (views, attention, F.max_pool2d in its own forward)"
        )
    net, high = subject.built(output_stride=8), 96
    with torch.no_grad():
        cells = [tuple(fmap.shape[-2:]) for fmap in net.eval()(subject.image(high, 160))]
    wanted = [(high // stride, 160 // stride) for stride in net.out_strides]
    arguments = dict(spec.arguments)
    feature_net, _, trace = open_traced(spec.source, spec.upstream, 3, arguments, name=spec.name)
    if cells != wanted or not can_dilate(feature_net, trace):
        raise FailsError(
            f"with output_stride=8 the maps have {cells} cells, not {wanted}, or other values",
            "Reduce maps by strided convolutions and pools only.",
        )
    return "output_stride=8 gives the ordinary values at every 2nd and 4th cell"


def state_dict(subject: Subject) -> str:
    """Names in the state dict are the network's own, and a file of the whole network loads."""
    spec, net = subject.spec, subject.built()
    if spec.source == "own":
        torch.manual_seed(2)
        whole = known_own(spec.upstream).factory()
    else:
        whole = open_net(spec.source, spec.upstream, 3, spec.arguments).net
    theirs = whole.state_dict()
    others = [key for key in net.state_dict() if key not in theirs and not key.startswith(f"{PYRAMID_NAME}.")]
    if others:
        odd = {key for key, _ in whole.named_parameters()} - theirs.keys()
        change = _NAMES if odd else "Report this as a bug."
        raise FailsError(f"{some(others)} have other names than in the network itself", change)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "whole.pth"
        torch.save(theirs, file)
        try:
            report = subject.built(pretrained=str(file)).load_report
        except InputError as error:
            raise FailsError(f"a file of the whole network does not load: {error}", _NAMES) from error
    if report is None or report.missing or report.unexpected:
        raise FailsError(f"a file of the whole network does not load: {report}", _NAMES)
    return f"{len(report.matched)} names as in the network itself; a file of it loads"


def checkpointing(subject: Subject) -> str:
    """``with_cp=True`` changes no value and no gradient."""
    nets = [copy.deepcopy(subject.net), subject.built(with_cp=True)]
    nets[1].load_state_dict(nets[0].state_dict())
    grads = []
    for net in nets:
        torch.manual_seed(3)  # drop-out and stochastic depth draw the same
        loss(net.train()(subject.image())).backward()
        grads.append({key: param.grad for key, param in net.named_parameters() if param.grad is not None})
    other = [key for key, grad in grads[0].items() if differs(grads[1][key], grad, 1e-3)]
    if other:
        raise FailsError(
            f"with_cp=True gives other gradients of {some(other)}", "Keep no state between blocks."
        )
    return "with_cp=True gives the same gradients"


def norms(subject: Subject) -> str:
    """``norm_cfg`` replaces batch norms and keeps their weights."""
    if not any(isinstance(module, _BatchNorm) for module in subject.net.modules()):
        raise LeaveOutError("it has no batch norm")
    x = subject.image()
    for norm_cfg in ({"type": "SyncBN"}, {"type": "GN", "num_groups": 1}, {"type": "FrozenBN"}):
        net = subject.built(norm_cfg=norm_cfg)
        loss(net.train()(x)).backward()
        without = [key for key, param in net.named_parameters() if param.requires_grad and param.grad is None]
        if without:
            raise FailsError(f"norm_cfg={norm_cfg}: no gradient in {some(without)}", "Call norms as modules.")
    net.load_state_dict(subject.net.state_dict(), strict=False)
    if any(differs(a, b) for a, b in zip(_maps(net, x), _maps(subject.net, x), strict=True)):
        raise FailsError("FrozenBN gives other values than BN in eval()", "Call norms as modules.")
    return "SyncBN, GN and FrozenBN take the place of its batch norms"


def _maps(net: Backbone, x: Tensor) -> tuple[Tensor, ...]:
    with torch.no_grad():
        return net.eval()(x)


def layers(subject: Subject) -> str:
    """Each parameter has a stage and a layer, for freezing and layer-wise learning rates."""
    net = subject.net
    names = {key for key, _ in net.named_parameters() if not key.startswith(f"{PYRAMID_NAME}.")}
    without = sorted(names - (net.param_layers.keys() & net.param_stages.keys()))
    if without:
        raise FailsError(f"{some(without)} have no layer or stage", "Let the maps depend on every parameter.")
    return f"{max(net.param_layers.values())} layers behind the stem"


def channels(subject: Subject) -> str:
    """Images of other than three channels."""
    try:
        _maps(subject.built(in_channels=4), subject.image(channels=4))
    except (InputError, RuntimeError) as error:
        raise FailsError(
            f"in_channels=4 does not work ({error})", "Give the factory an argument in_channels."
        ) from error
    return "in_channels=4 works"
