"""Pretrained weights of a backbone: which are meant, how they are fitted, and what is said about it.

A load never is a silent no-op: it reports matched, missing and unexpected names and is an error when
shapes differ or too little matches.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mmengine.logging import MMLogger, print_log
from torch import Tensor, nn

from .errors import InputError

#: The least share of the names, of the network's and of the file's, that must match.
LEAST_MATCH = 0.75
#: What upstreams call the layers that only a classifier has.
CLASSIFIERS = ("fc", "classifier", "head")
#: Attribute of log records that the console shows although they are no errors.
FOR_THE_USER = "for_the_user"


@dataclass(frozen=True)
class LoadReport:
    """What a load did, by parameter and buffer names.

    Attributes:
        matched: Loaded.
        missing: In the network and not in the file: these keep their fresh values.
        unexpected: In the file and unknown to the network.
        ignored: In the file, and of the classifier or of a part that this backbone does not need.
        adapted: Loaded after a change of the number of input channels.
        fresh: Not in the file, and not to be expected there: layers that were added here.
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    ignored: tuple[str, ...]
    adapted: tuple[str, ...]
    fresh: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [f"{len(self.matched)} tensors loaded"]
        for what in ("adapted", "missing", "unexpected", "ignored", "fresh"):
            names = getattr(self, what)
            if names:
                parts.append(f"{what}: {some(names)}")
        return "; ".join(parts)


def some(names: Iterable[str], shown: int = 5) -> str:
    """The first names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _upstream_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Strip ``module.``; of a detector keep what stands behind ``backbone.``; old DenseNet names."""
    plain = {name.removeprefix("module."): value for name, value in state.items()}
    inside = {name[9:]: value for name, value in plain.items() if name.startswith("backbone.")}
    old = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.(\d)\.")  # torchvision before 0.3: norm.1.weight
    return {old.sub(r"\1\2.", name): value for name, value in (inside or plain).items()}


def load_into(
    net: nn.Module,
    state: Mapping[str, Tensor],
    *,
    known: frozenset[str] = frozenset(),
    classifier: tuple[str, ...] = (),
    fresh: tuple[str, ...] = (),
    what: str = "checkpoint",
) -> LoadReport:
    """Fit ``state`` into ``net`` and say how it went.

    Args:
        net: The backbone.
        state: Tensors by upstream names, with or without ``module.`` or ``backbone.`` before them.
        known: Names that the whole upstream network has; those not in ``net`` are ignored.
        classifier: Prefixes of names that are ignored likewise, next to :data:`CLASSIFIERS`; those in
            ``net``, auxiliary classifiers, are loaded where their shapes fit.
        fresh: Prefixes of names that no upstream's file need have: layers that were added here.
        what: How messages call the source.

    Raises:
        InputError: shapes differ, or less than three quarters of the names match. ``net`` is
            unchanged then.
    """
    given = _upstream_names(state)
    own = net.state_dict()
    heads = tuple(f"{head}." for head in (*CLASSIFIERS, *classifier))
    added = tuple(f"{prefix}." for prefix in fresh)
    matched, adapted, wrong = {}, [], []
    for name in own.keys() & given.keys():
        value = given[name]
        if value.shape != own[name].shape:
            if name.startswith(heads):  # an auxiliary classifier of other classes
                continue
            fitted = _fit_input(value, own[name])
            if fitted is None:
                wrong.append(f"{name} is {tuple(value.shape)}, needs {tuple(own[name].shape)}")
                continue
            value = fitted
            adapted.append(name)
        matched[name] = value
    left = given.keys() - own.keys()
    ignored = {name for name in left if name in known or name.startswith(heads)}
    absent = [name for name in own if name not in matched and not name.endswith("num_batches_tracked")]
    missing = [name for name in absent if not name.startswith(added)]
    unexpected = sorted(left - ignored)
    report = LoadReport(
        matched=tuple(name for name in own if name in matched),
        missing=tuple(missing),
        unexpected=tuple(unexpected),
        ignored=tuple(sorted(ignored)),
        adapted=tuple(sorted(adapted)),
        fresh=tuple(name for name in absent if name.startswith(added)),
    )
    if wrong:
        raise InputError(f"{what} does not fit: {some(sorted(wrong))}. Is it a file of this backbone?")
    share = len(matched) / max(1, len(matched) + max(len(missing), len(unexpected)))
    if share < LEAST_MATCH:
        raise InputError(
            f"{what} does not fit: only {share:.0%} of the names match ({report}). "
            f"At least {LEAST_MATCH:.0%} must. Is it a file of this backbone?"
        )
    net.load_state_dict(matched, strict=False)
    return report


def _fit_input(value: Tensor, own: Tensor) -> Tensor | None:
    """A first convolution's weight for another number of input channels; None if that is not it.

    One channel gets the sum over RGB (a grey image has R = G = B); others repeat RGB, scaled so that
    a constant image gives what it gave before.
    """
    spatial = value.ndim == 4 and own.ndim == 4 and value.shape[2:] == own.shape[2:]
    if not spatial or value.shape[0] != own.shape[0] or value.shape[1] != 3:
        return None
    channels = own.shape[1]
    if channels == 1:
        return value.sum(dim=1, keepdim=True)
    repeats = -(-channels // 3)
    return value.repeat(1, repeats, 1, 1)[:, :channels] * (3 / channels)


def log_report(report: LoadReport, what: str) -> None:
    """One log line; a warning when names were missing or unexpected."""
    if report.missing or report.unexpected:
        warn_user(f"{what}: {report}")
    else:
        print_log(f"{what}: {report}", logger="current")


def warn_user(text: str) -> None:
    """Log a warning that goes to the console of a training too, where libraries' warnings do not."""
    MMLogger.get_current_instance().warning(text, extra={FOR_THE_USER: True})
