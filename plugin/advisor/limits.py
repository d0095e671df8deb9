"""What the user allows, what exceeds it by how much, and which limit is the cheapest to relax."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..catalog.selection import BACKBONES, UNSTATED, Known
from ..errors import InputError, did_you_mean
from ..feature_nets.listing import as_number

#: What it costs to give up a wish that is no number, as a part of a limit: more than a quarter more of one.
_WISH = 0.25


@dataclass(frozen=True)
class Limits:
    """What the user allows. All limits hold together; None stands for no limit.

    Attributes:
        max_params: Parameters of the backbone up to its last map, as ``mmbackbones list`` has them.
        max_gflops: Billions of multiply-adds of the backbone at 224 x 224, likewise.
        max_latency: Milliseconds of the whole model for one image.
        no_se: Whether squeeze-and-excitation gates are out.
        licences: Of the weights that the config loads; empty for any.
    """

    max_params: float | None = None
    max_gflops: float | None = None
    max_latency: float | None = None
    no_se: bool = False
    licences: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cost:
    """What a choice costs.

    Attributes:
        params: Of the backbone up to its last map.
        gflops: Billions of multiply-adds at 224 x 224; 0 for unknown.
        has_se: Whether it has squeeze-and-excitation gates.
        licence: Of its weights; empty where none are loaded.
        latency: Milliseconds for one image, where they were measured.
    """

    params: int
    gflops: float
    has_se: bool
    licence: str
    latency: float | None = None


def cost_of(known: Known) -> Cost:
    """The cost of a backbone; one that tables and catalog do not know is traced on the meta device."""
    if known.params:
        return Cost(known.params, known.gflops, known.has_se, known.licence)
    from ..feature_nets.specs import get_spec

    spec = get_spec(known.name)
    return Cost(spec.params, spec.gflops or known.gflops, spec.has_se, known.licence)


def checked(
    max_params: float | str | None,
    max_gflops: float | None,
    max_latency: float | None,
    no_se: bool,
    licence: str | None,
) -> Limits:
    """The limits that a user wrote.

    Raises:
        InputError: a number is not above 0, or no weights have such a licence.
    """
    most = None if max_params is None else as_number("max_params", max_params)
    for option, value in (
        ("--max-params", most),
        ("--max-gflops", max_gflops),
        ("--max-latency", max_latency),
    ):
        if value is not None and not 0 < value < float("inf"):
            raise InputError(f"{option} {value:g} must be above 0. Leave it out for no limit.")
    known = sorted({each.licence for each in BACKBONES.values()} - {""})
    wanted = tuple(word for word in (licence or "").lower().replace(",", " ").split())
    for word in wanted:
        if word not in known:
            raise InputError(
                f"--license '{word}': no weights of the tables have it.{did_you_mean(word, known)} There are "
                f"{', '.join(known)} ({UNSTATED}: torchvision does not say). Give one, or several with "
                "commas."
            )
    if licence is not None and not wanted:
        raise InputError(f"--license '': name one of {', '.join(known)}, or leave it out.")
    return Limits(most, max_gflops, max_latency, no_se, wanted)


def excess(cost: Cost, limits: Limits) -> dict[str, float]:
    """How a choice exceeds the limits: what would have to be said instead, and by what part that is more."""
    found = {}
    for option, value, most, text in (
        ("--max-params", float(cost.params), limits.max_params, _up(cost.params / 1e6) + "M"),
        ("--max-gflops", cost.gflops, limits.max_gflops, _up(cost.gflops)),
        ("--max-latency", cost.latency or 0.0, limits.max_latency, _up(cost.latency or 0.0)),
    ):
        if most is not None and value > most:
            found[f"{option} {text}"] = value / most - 1
    if limits.no_se and cost.has_se:
        found["without --no-se"] = _WISH
    if limits.licences and cost.licence and cost.licence not in limits.licences:
        found[f"--license {','.join((*limits.licences, cost.licence))}"] = _WISH
    return found


def _up(value: float) -> str:
    """``value`` rounded up to three digits: as a limit it lets ``value`` pass."""
    if not value:
        return "0"
    unit = 10.0 ** (math.floor(math.log10(value)) - 2)
    return f"{math.ceil(value / unit) * unit:.3g}"


def nothing_left(names: Sequence[str], exceeded: Sequence[Mapping[str, float]], what: str) -> InputError:
    """The error where every choice exceeds a limit: the cheapest to relax, and by how much.

    Args:
        names: What each choice is called, the best first.
        exceeded: Of each, what :func:`excess` says.
        what: What was asked for, for the message.
    """
    cheapest = min(range(len(names)), key=lambda i: sum(exceeded[i].values()))
    words = [
        option if option.startswith(("without", "--license")) else f"{option} ({100 * part:.0f} % more)"
        for option, part in exceeded[cheapest].items()
    ]
    return InputError(
        f"Nothing is left of the {len(names)} choices for {what}. The cheapest to relax: "
        f"{' and '.join(words)} lets {names[cheapest]} in."
    )
