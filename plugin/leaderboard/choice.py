"""Which nets are on a board: names and globs of a spec, without those that limits or the model refuse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..catalog.spec import Spec
from ..errors import InputError, nearest
from ..feature_nets.listing import as_number, list_backbones
from ..feature_nets.specs import get_spec, is_known
from .marks import Marked

_SIZES = ("min_params", "max_params", "max_gflops")


def choose_backbones(marked: Marked, architecture: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """Names, and what globs matched but is left out, with why.

    Raises:
        InputError: with file and line: an unknown name, a glob without match, contradictory limits, a net
            that is named but outside the limits or unable to feed the architecture, or none is left.
    """
    words = marked.value["backbones"]
    if not isinstance(words, list) or not words:
        raise marked.error(
            "backbones is empty: list names, globs as 'resnet*', or 'timm:<name>'.", "backbones"
        )
    limits = _limits(marked)
    found: dict[str, None] = {}
    left_out: dict[str, str] = {}
    for index, word in enumerate(words):
        name = str(word)
        is_glob = any(sign in name for sign in "*?[")
        matches = _matches(name) if is_glob else [name]
        if not matches:
            raise marked.error(
                f"no backbone matches '{name}'. `mmbackbones list '{name}'` shows what a glob matches.",
                "backbones",
                index,
            )
        if not is_glob and not is_known(name) and not _is_alias(name):
            near = ", ".join(nearest(name, list_backbones())) or "none"
            raise marked.error(f"backbone '{name}' is unknown. Nearest: {near}.", "backbones", index)
        for match in matches:
            why = _refusal(match, architecture, limits)
            if why and not is_glob:
                raise marked.error(why, "backbones", index)
            if why:
                left_out[match] = why
            else:
                found[match] = None
    if not found:
        raise marked.error(
            f"no backbone is left: {next(iter(left_out.values()))} Widen the limits or the globs.",
            "backbones",
        )
    return tuple(found), left_out


def _matches(pattern: str) -> list[str]:
    """Names of the catalog, or of ``timm:`` and ``torchvision:``, that match a glob."""
    source, colon, rest = pattern.partition(":")
    if not colon:
        return list_backbones(pattern)
    if source == "timm":
        import timm

        return [f"timm:{name}" for name in timm.list_models(rest)]
    if source == "torchvision":
        from torchvision import models

        return [f"torchvision:{name}" for name in models.list_models(models, include=rest)]
    return []


def _is_alias(name: str) -> bool:
    try:
        get_spec(name)
    except InputError:
        return False
    return True


def _refusal(name: str, architecture: str, limits: Mapping[str, Any]) -> str:
    """Why a backbone cannot be on the board; empty if it can."""
    from ..compose.filling import check_feeds

    if architecture:
        try:
            check_feeds(architecture, name)
        except InputError as error:
            return str(error)
    spec = get_spec(name)
    if not spec.gflops and "max_gflops" in limits:  # outside the catalog
        spec = replace(spec, gflops=float(f"{_count(name) / 1e9:.4g}"))
    broken = [limit for limit, value in limits.items() if not _keeps(spec, limit, value)]
    if not broken:
        return ""
    shown = ", ".join(f"{limit}: {limits[limit]}" for limit in broken)
    size = f"{spec.params / 1e6:.1f} M parameters, {spec.gflops:g} GFLOPs"
    return f"'{name}' is outside the limits ({shown}): {size}."


def _count(name: str) -> int:
    from ..backbone import build
    from ..tracing.cost import cost

    return cost(build(name), len(get_spec(name).mean)).madds


def _keeps(spec: Spec, limit: str, value: Any) -> bool:
    if limit == "has_se":
        return spec.has_se == value
    if limit == "max_gflops":
        return spec.gflops <= as_number(limit, value)
    size = as_number(limit, value)
    return spec.params <= size if limit == "max_params" else spec.params >= size


def max_latency(marked: Marked) -> float | None:
    """The limit in ms for one image, which the probes measure; None for none."""
    limits = marked.value.get("limits")
    given = limits.get("max_latency") if isinstance(limits, dict) else None
    return marked.positive(given, "limits", "max_latency")


def _limits(marked: Marked) -> dict[str, Any]:
    limits = marked.mapping("limits", (*_SIZES, "has_se", "max_latency"))
    limits.pop("max_latency", None)  # which no table knows, see max_latency
    for key in _SIZES:
        if key in limits:
            try:
                as_number(key, limits[key])
            except InputError as error:
                raise marked.error(f"limits.{error}", "limits", key) from error
    if "has_se" in limits and not isinstance(limits["has_se"], bool):
        raise marked.error("limits.has_se must be true or false.", "limits", "has_se")
    low, high = limits.get("min_params"), limits.get("max_params")
    if low is not None and high is not None and as_number("", low) > as_number("", high):
        raise marked.error(
            f"limits contradict each other: min_params {low} is above max_params {high}.",
            "limits",
            "min_params",
        )
    return limits
