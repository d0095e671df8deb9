"""mmseg's data set of images and label maps, with label values that change on the way to the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmseg.datasets import BaseSegDataset

from ..registry import DATASETS


@DATASETS.register_module()
class SegDataset(BaseSegDataset):
    """mmseg's ``BaseSegDataset`` with a ``label_map`` of its own, where mmseg's follows from class names.

    Args:
        label_map: what a value in the label files becomes; values that are not in it stay. All are
            looked up in the label as it is in the file, so that classes may change places.
        kwargs: of ``BaseSegDataset``.
    """

    def __init__(self, *, label_map: Mapping[int, int], **kwargs: Any) -> None:
        self._given = {int(old): int(new) for old, new in label_map.items()}
        super().__init__(**kwargs)

    def get_label_map(self, new_classes: Sequence[str] | None = None) -> dict[int, int]:
        """The map that was given, whatever the names of the classes."""
        return self._given
