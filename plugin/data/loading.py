"""Loading of images of any number of channels, in a pipeline of mmdet or mmseg."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from ..errors import InputError
from ..registry import TRANSFORMS
from .stacks import check_channels, read_stack


@TRANSFORMS.register_module()
class LoadChannels(BaseTransform):
    """Loads a ``.npy`` or a TIFF of several channels, in their order and with their values, as float32.

    In the place of mmcv's ``LoadImageFromFile``, which reads photos of three channels with 8 bits.

    Args:
        channels: that the model takes.

    Raises:
        InputError: when it runs: a file that cannot be read, or that has other channels.
    """

    def __init__(self, channels: int) -> None:
        self.channels = channels

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """``results`` with ``img`` (height, width, channels) and its sides, of the file ``img_path``."""
        path = Path(results["img_path"])
        try:
            stack = read_stack(path)
        except InputError:
            raise
        except (OSError, ValueError) as error:
            raise InputError(
                f"Image {path} cannot be read: {error}. The model takes files of {self.channels} channels."
            ) from error
        check_channels(path, stack, self.channels)
        sides = stack.shape[:2]
        return {**results, "img": stack.astype(np.float32), "img_shape": sides, "ori_shape": sides}
