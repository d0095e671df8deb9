"""Images of any number of channels: NumPy's ``.npy``, and TIFFs of several pages or samples a pixel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

from ..errors import InputError, need

STACK_SUFFIX = ".npy"
_NPY = b"\x93NUMPY"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SAMPLES, _EXTRA_SAMPLES, _UNSPECIFIED = 277, 338, 0  # TIFF 6.0: tags, and what an extra sample may be
_LOW = 32  # an image is higher than that, and has fewer channels than that if they come first


def stack_shape(path: Path) -> tuple[int, int, int] | None:
    """(height, width, channels) of a file that is read as it is; None of a photo, which OpenCV reads.

    Only headers are read. Of TIFFs those are stacks whose pages are of one size with one channel each, and
    those with samples beyond grey, colours and alpha.

    Raises:
        ValueError: with the reason why it cannot be read.
        MissingPackageError: a TIFF that Pillow does not know, and no tifffile.
    """
    head = _head(path)
    if head == _NPY:
        try:
            return _checked_shape(np.load(path, mmap_mode="r", allow_pickle=False))
        except (EOFError, ValueError) as error:
            cut = "mmap length" in str(error) or isinstance(error, EOFError)
            raise ValueError("the file is cut off" if cut else str(error)) from error
    if head[:4] not in _TIFF:
        return None
    try:
        with Image.open(path) as image:
            if _has_more_samples(image):
                return _tiff_shape(path)
            frames = {(page.size, page.getbands()) for page in ImageSequence.Iterator(image)}
            count = getattr(image, "n_frames", 1)
    except Image.UnidentifiedImageError:  # Pillow knows four samples a pixel at most
        return _tiff_shape(path)
    if count == 1 or len(frames) > 1 or len(next(iter(frames))[1]) > 1:
        return None
    ((wide, high), _) = frames.pop()
    return high, wide, count


def read_stack(path: Path) -> np.ndarray:
    """The image of a file for which :func:`stack_shape` is not None, (height, width, channels), as stored.

    Raises:
        ValueError: with the reason why it cannot be read.
    """
    shape = stack_shape(path)
    if shape is None:
        raise ValueError(f"it is a photo, not a {STACK_SUFFIX} or TIFF of several channels")
    stack = np.load(path, allow_pickle=False) if _head(path) == _NPY else _read_tiff(path)
    if stack.dtype.kind == "f" and not np.isfinite(stack).all():
        raise ValueError("some of its values are not finite; put a number in their place")
    return stack.reshape(shape)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(_NPY))


def statistics(paths: Sequence[Path], most: int = 64) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel over at most so many images, spread over ``paths``."""
    total, squares, count = 0.0, 0.0, 0
    for index in np.linspace(0, len(paths) - 1, min(most, len(paths))).astype(int):
        pixels = read_stack(paths[index]).astype(np.float64)
        total = total + pixels.sum((0, 1))
        squares = squares + (pixels**2).sum((0, 1))
        count += pixels.shape[0] * pixels.shape[1]
    mean = np.asarray(total) / count
    std = np.sqrt(np.maximum(np.asarray(squares) / count - mean**2, 0))
    std[std < 1e-6 * np.maximum(1, np.abs(mean))] = 1  # a channel that is constant stays so
    return [float(f"{value:.6g}") for value in mean], [float(f"{value:.6g}") for value in std]


def shown(stack: np.ndarray) -> Image.Image:
    """A picture to look at: the first three channels as RGB, of fewer the first as grey.

    8 bits stay as they are; of others the middle 96 % of the values go from black to white.
    """
    pixels = stack[..., :3] if stack.shape[2] >= 3 else stack[..., 0]
    if pixels.dtype != np.uint8:
        low, high = np.percentile(pixels, (2, 98))
        pixels = np.clip((pixels - low) / max(float(high - low), 1e-12) * 255, 0, 255).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(pixels)).convert("RGB")


def _has_more_samples(image: Image.Image) -> bool:
    extra = image.tag_v2.get(_EXTRA_SAMPLES, ())
    return _UNSPECIFIED in (extra if isinstance(extra, tuple) else (extra,))


def _read_tiff(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            if not _has_more_samples(image):
                return np.stack([np.asarray(page) for page in ImageSequence.Iterator(image)], -1)
    except Image.UnidentifiedImageError:
        pass  # what Pillow does not know is tifffile's
    need("tifffile")
    import tifffile

    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        try:
            stack: np.ndarray = series.asarray()
        except ValueError as error:  # a compression whose decoder is in another package
            raise ValueError(f"{error}; or save it without compression, or as {STACK_SUFFIX}") from error
        return np.moveaxis(stack, 0, -1) if series.axes == "SYX" else stack


def _tiff_shape(path: Path) -> tuple[int, int, int]:
    need("tifffile")
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
    except (tifffile.TiffFileError, IndexError) as error:
        raise ValueError(f"it is not an image (corrupt, or of an unknown kind): {error}") from error
    sides = dict(zip(series.axes, series.shape, strict=True))
    if set(sides) != {"Y", "X", "S"}:
        raise ValueError(f"its axes are {series.axes}; save one image of height, width and channels")
    return sides["Y"], sides["X"], sides["S"]


def _checked_shape(stack: np.ndarray) -> tuple[int, int, int]:
    shape = "x".join(map(str, stack.shape))
    if stack.ndim not in (2, 3) or not stack.size:
        raise ValueError(f"its shape is {shape}; save one image as (height, width, channels)")
    if stack.dtype.kind not in "buif":
        raise ValueError(f"it holds {stack.dtype}; save numbers, whole or floating")
    if stack.ndim == 3 and stack.shape[0] <= _LOW < min(stack.shape[1:]):
        raise ValueError(
            f"its shape is {shape}, with the channels first; save (height, width, channels), as by "
            f"np.moveaxis(image, 0, -1)"
        )
    high, wide, *channels = stack.shape
    return high, wide, channels[0] if channels else 1


def check_channels(path: Path, stack: np.ndarray, channels: int) -> None:
    """Check that an image has the channels that the model takes.

    Raises:
        InputError: it has others.
    """
    if stack.shape[2] != channels:
        raise InputError(
            f"Image {path} has {stack.shape[2]} channels, but the model takes {channels}, those that it was "
            f"trained with."
        )
