"""The tables that ``mmbackbones list`` prints, as rows of cells."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from ..catalog.spec import PYRAMID, Spec

#: Heads of the two tables, and how many columns a terminal of 80 characters has room for.
HEAD = ["name", "C2 C3 C4 C5", "params", "GFLOPs", "SE", "dilates", "kind", "weights", "year", "paper"]
SHORT = 6
FAMILY_HEAD = ["family", "backbones", "params", "GFLOPs", "year", "paper"]
FAMILY_SHORT = 3


def backbone_rows(specs: list[Spec]) -> list[list[str]]:
    """The cells of each backbone under :data:`HEAD`."""
    return [
        [
            spec.name,
            " ".join(str(spec.channels.get(stride, "-")) for stride in PYRAMID),
            _millions(spec.params),
            _billions(spec.gflops),
            "SE" if spec.has_se else "",
            "yes" if spec.dilatable else "no",
            spec.kind,
            _weights(spec),
            str(spec.year),
            spec.paper,
        ]
        for spec in specs
    ]


def family_rows(specs: list[Spec]) -> list[list[str]]:
    """The cells of each family under :data:`FAMILY_HEAD`, the oldest family first."""
    families: dict[str, list[Spec]] = {}
    for spec in sorted(specs, key=lambda spec: (spec.year, spec.family, spec.params)):
        families.setdefault(spec.family, []).append(spec)
    rows = []
    for family, members in families.items():
        papers = dict.fromkeys(spec.paper for spec in members)
        years = _range(str(spec.year) for spec in (members[0], members[-1]))
        members.sort(key=lambda spec: spec.params)
        work = sorted(spec.gflops for spec in members)
        rows.append(
            [
                family,
                " ".join(spec.name for spec in members),
                _range(_millions(spec.params) for spec in (members[0], members[-1])),
                _range(_billions(gflops) for gflops in (work[0], work[-1])),
                years,
                ", ".join(papers),
            ]
        )
    return rows


def facts(spec: Spec) -> dict[str, Any]:
    """What is known of ``spec``, as JSON takes it."""
    known = asdict(spec) | {"strides": list(spec.strides), "tasks": list(spec.tasks)}
    if not spec.gflops:  # outside the catalog
        del known["gflops"], known["kind"]
    return {key: list(value) if isinstance(value, tuple) else value for key, value in known.items()}


def _range(ends: Iterable[str]) -> str:
    return " to ".join(dict.fromkeys(ends))


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f}M" if count >= 1e6 else f"{count / 1e6:.3f}M"


def _billions(gflops: float) -> str:
    return f"{gflops:.4g}" if gflops >= 0.1 else f"{gflops:.4f}"


def _weights(spec: Spec) -> str:
    """The tag of the default weights and how many more there are."""
    if not spec.weights:
        return "none"
    more = len(spec.weights) - 1
    return spec.weights[0].partition(".")[2] + (f" +{more}" if more else "")
