"""mmdet's preparation of images, for those of any number of channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models import DetDataPreprocessor as Base


class DetDataPreprocessor(Base):
    """mmdet's ``DetDataPreprocessor`` with means of as many channels as there are: mmengine's takes 1 or 3.

    Args:
        mean: of each channel.
        std: of each channel.
        kwargs: of mmdet's.
    """

    def __init__(self, *, mean: Sequence[float], std: Sequence[float], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._enable_normalize = True
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values).view(-1, 1, 1), False)
