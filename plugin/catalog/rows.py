"""The catalog: one row per backbone, data only. A new backbone is one more row in one of these files.

Channels are listed by doubling stride. ``timm`` and ``torchvision`` list the tags of the weights that
fit the row's parameter names, the default first. Figures are held against the networks by the tests.
"""

from __future__ import annotations

from . import classic, mobile, transformers, written_here
from .spec import Spec

ROWS: tuple[Spec, ...] = (*classic.ROWS, *mobile.ROWS, *transformers.ROWS, *written_here.ROWS)
