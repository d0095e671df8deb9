"""Images as a user gives them, files or arrays, brought to what mmcv hands on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ..data.scan import IMAGE_SUFFIXES, UNREADABLE, list_files, reason_of, remark_on
from ..data.stacks import read_stack, shown, stack_shape
from ..errors import InputError

#: Containers that OpenCV's FFmpeg reads.
VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")


def is_video(path: Path) -> bool:
    """Whether a file's name is that of a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def check_image(path: Path, *, stacks: bool = False) -> str:
    """Check that a file can be decoded as an image; returns what of it is lost in loading, or ''.

    Args:
        path: the file.
        stacks: all channels of a file of several are loaded, as by ``mmbackbones.LoadChannels``.

    Raises:
        InputError: missing, empty, damaged, too large, no image, or of a kind that mmcv does not load.
    """
    if not path.is_file():
        raise InputError(f"There is no image file {path}.")
    if path.stat().st_size == 0:
        raise InputError(f"Image {path} is empty (0 bytes).")
    shape = None
    try:
        shape = stack_shape(path)
        if shape and stacks:
            return ""
        with Image.open(path) as image:
            image.load()
        with Image.open(path) as image:  # what is loaded has forgotten how it was stored
            return remark_on(image)
    except UNREADABLE as error:
        if shape:
            raise InputError(f"Image {path} has {shape[2]} channels, but the model takes photos.") from error
        raise InputError(f"Image {path} cannot be read: {reason_of(error)}.") from error


def as_loaded(pixels: np.ndarray, channels: int = 3, *, stacks: bool = False) -> np.ndarray:
    """The pixels of a user's array as its file is loaded: (height, width, channels), colours as BGR.

    Args:
        pixels: RGB, RGB with alpha, or grey, (height, width, 3 | 4 | 1) or (height, width), 8 bits. RGB as
            Pillow, imageio and matplotlib have it; of OpenCV's BGR give ``image[..., ::-1]``.
        channels: that the model takes. Where that is not 3, the array has as many and stays as it is.
        stacks: the model reads all channels of files in their order, so that of 3 as well.

    Raises:
        InputError: another shape or kind of number.
    """
    shape = "x".join(map(str, pixels.shape))
    plain = stacks or channels != 3
    if plain and channels == 1 and pixels.ndim == 2:
        pixels = pixels[..., None]
    if plain and pixels.ndim == 3 and pixels.shape[2] == channels and pixels.size:
        return pixels.astype(np.float32) if stacks else pixels
    wanted = f"(height, width, {channels})" if plain else "(height, width, 3) in the order RGB"
    if plain or pixels.ndim not in (2, 3) or not pixels.size:
        raise InputError(f"An image of shape {shape} cannot be used: give {wanted}.")
    if pixels.dtype != np.uint8:
        raise InputError(
            f"An image of {pixels.dtype} cannot be used: give 8 bits a channel, 0..255, as "
            f"(255 * image).astype('uint8') of 0..1, or (image >> 8).astype('uint8') of 16 bits."
        )
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        return np.repeat(pixels.reshape(*pixels.shape[:2], 1), 3, axis=2)
    if pixels.shape[2] not in (3, 4):
        raise InputError(f"An image of shape {shape} cannot be used: give {wanted}.")
    return np.ascontiguousarray(pixels[..., 2::-1])


def open_image(source: str | Path | np.ndarray) -> Image.Image:
    """The image as mmcv loads it, but as RGB, turned as its EXIF entry says; a stack as it can be looked at.

    Raises:
        InputError: there is no such file, or the array is no image.
    """
    if isinstance(source, np.ndarray):
        if source.ndim == 3 and source.shape[2] and (source.shape[2] == 2 or source.shape[2] > 4):
            return shown(source)
        return Image.fromarray(as_loaded(source)[..., ::-1])
    if not Path(source).is_file():
        raise InputError(f"There is no image file {source}.")
    if stack_shape(Path(source)):
        return shown(read_stack(Path(source)))
    with Image.open(source) as file:
        image = ImageOps.exif_transpose(file)
        if image.mode.startswith("I"):  # 16 bits, "I" to Pillow 10, which would cut them at 255
            image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
        if file.format == "TIFF" and image.mode == "RGBA":  # OpenCV's reader multiplies colours by alpha
            image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
        return image.convert("RGB")


def find_images(paths: Sequence[Path]) -> list[Path]:
    """Image and video files from files and folders (with the folders inside them), one of them readable.

    Raises:
        InputError: a path is missing, a folder has no images, or none of the images can be read.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = [path / name for name in list_files(path, IMAGE_SUFFIXES + VIDEO_SUFFIXES)]
            if not inside:
                raise InputError(f"Folder {path} has no images ({', '.join(IMAGE_SUFFIXES)}).")
            found += inside
        elif not path.is_file():
            raise InputError(f"There is no image file {path}.")
        else:
            found.append(path)
    problems: list[str] = []
    for path in found:
        try:
            if not is_video(path):
                check_image(path, stacks=True)  # what the model takes is asked of each
            return found
        except InputError as error:
            problems.append(str(error))
    raise InputError(listed(problems))


def listed(problems: Sequence[str], limit: int = 3) -> str:
    """The first problems, and how many more there are."""
    more = f" ... and {len(problems) - limit} more." if len(problems) > limit else ""
    return " ".join(problems[:limit]) + more
