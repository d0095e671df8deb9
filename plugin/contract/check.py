"""All points of the contract, tried on one backbone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..errors import InputError
from ..feature_nets.specs import get_spec, is_known
from . import points
from .onnx import onnx
from .point import FAILS, HOLDS, LEFT_OUT, FailsError, LeaveOutError, Point, Subject

#: The points by name, in the order in which they are tried.
POINTS: dict[str, Callable[[Subject], str]] = {
    "strides and channels": points.built,
    "map sizes": points.sizes,
    "alignment": points.alignment,
    "gradients": points.gradients,
    "freezing": points.freezing,
    "output stride": points.dilation,
    "state dict": points.state_dict,
    "checkpointing": points.checkpointing,
    "normalisation": points.norms,
    "layers": points.layers,
    "image channels": points.channels,
}


def check(name: str, *, with_onnx: bool = False) -> Iterator[Point]:
    """Try the contract on the backbone ``name``, one point after the other.

    Args:
        name: As :func:`mmbackbones.build` takes it; nothing is downloaded, weights are random.
        with_onnx: Whether to export it to ONNX too and compare the values.

    Yields:
        What was seen of each point. Where the network cannot be built at all there is but one.

    Raises:
        InputError: there is no such backbone.
    """
    if not is_known(name):
        get_spec(name)  # says the nearest names
    subject = Subject(name)
    tried = {**POINTS, **({"ONNX": onnx} if with_onnx else {})}
    for about, function in tried.items():
        point = _tried(about, function, subject)
        yield point
        if point.outcome == FAILS and function is points.built:
            return


def _tried(about: str, function: Callable[[Subject], str], subject: Subject) -> Point:
    try:
        return Point(about, HOLDS, function(subject))
    except FailsError as fails:
        return Point(about, FAILS, fails.seen, fails.change)
    except LeaveOutError as why:
        return Point(about, LEFT_OUT, str(why))
    except InputError as error:  # it says itself what to change
        return Point(about, FAILS, str(error))
    except Exception as error:  # the network's own code, which may fail in any way
        return Point(
            about, FAILS, f"{type(error).__name__}: {error}", "Let forward run as it does for other images."
        )
