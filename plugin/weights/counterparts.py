"""Classes of OpenMMLab and the backbones here that compute the same from the same weights.

Nothing is loaded by their table: files are read by order and shape (:mod:`.openmmlab`). It says what was
compared (``docs/checkpoints.md``, and the tests), and what ``mmbackbones convert --to openmmlab`` writes.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import InputError, nearest
from .counterpart_rows import COUNTERPARTS
from .openmmlab_classes import Counterpart
from .strangers import STRANGERS


def every_counterpart() -> Iterator[Counterpart]:
    """The rows of the table, then those of their other sizes."""
    yield from COUNTERPARTS
    for row in COUNTERPARTS:
        yield from row.of_other_sizes()


def counterpart(name: str, kind: str | None = None) -> Counterpart:
    """The row of our backbone ``name``, with their class ``kind`` (``package.Class``) if it is given.

    Raises:
        InputError: there is none.
    """
    rows = [row for row in every_counterpart() if kind in (None, row.theirs)]
    if not rows:
        if kind in STRANGERS:
            raise InputError(
                f"--like {kind}: no backbone here computes what it does, {STRANGERS[str(kind)]}."
            )
        kinds = sorted({row.theirs for row in COUNTERPARTS})
        near = ", ".join(nearest(str(kind), kinds))
        raise InputError(f"--like {kind} is neither a file nor a class that was compared. Nearest: {near}.")
    for row in rows:
        if row.name == name:
            return row
    names = ", ".join(sorted({row.name for row in rows}))
    others = " or ".join(sorted({row.theirs for row in every_counterpart() if row.name == name}))
    step = f"Take --like {others}. For" if others else "For"
    raise InputError(
        f"Of {kind or 'the classes that were compared'} there are {names}, not {name}. {step} other sizes "
        f"name a file of OpenMMLab's network of that size: --like FILE."
    )
