"""Videos, frame by frame, through OpenCV."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
from PIL import Image

from ..errors import InputError


class Video:
    """Frames of a file, (height, width, 3) RGB of 8 bits, one after the other.

    Args:
        path: a file that OpenCV can decode.

    Attributes:
        rate: frames a second.

    Raises:
        InputError: it cannot be decoded.
    """

    def __init__(self, path: Path) -> None:
        import cv2

        self._file = cv2.VideoCapture(str(path))
        self.rate = float(self._file.get(cv2.CAP_PROP_FPS)) or 25.0
        there, self._first = self._file.read()
        if not there:
            self._file.release()
            raise InputError(f"Video {path} cannot be read: OpenCV decodes no frame of it. Save it as MP4.")

    def __iter__(self) -> Iterator[np.ndarray]:
        frame = self._first
        try:
            while frame is not None:
                yield frame[..., ::-1]
                frame = self._file.read()[1]
        finally:
            self._file.release()


class VideoWriter:
    """Writes pictures of one size to an MP4 file (MPEG-4, which every OpenCV has); closed by ``with``.

    Args:
        path: the file.
        rate: frames a second.

    Raises:
        InputError: it cannot be written.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self.path, self.rate = path, rate
        self._size = (0, 0)

    def __enter__(self) -> VideoWriter:
        return self

    def write(self, picture: Image.Image) -> None:
        """Append a picture."""
        import cv2

        if self._size == (0, 0):
            self._size = picture.size
            self._file = cv2.VideoWriter(
                str(self.path), cv2.VideoWriter.fourcc(*"mp4v"), self.rate, picture.size
            )
            if not self._file.isOpened():
                raise InputError(f"The video {self.path} cannot be written: OpenCV has no MP4 encoder here.")
        self._file.write(np.ascontiguousarray(np.asarray(picture.resize(self._size))[..., ::-1]))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._size != (0, 0):
            self._file.release()
