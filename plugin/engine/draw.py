"""Pictures of boxes and label maps, with class names, and grids of them.

Not by ``torchvision.utils``, tried with 0.29: where masks overlap ``draw_segmentation_masks`` paints them
black; the names of ``draw_bounding_boxes`` stand inside the boxes, 10 pixels high without a font file, run
out of the picture at its right, and have no ground to be read on before 0.22.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..data.dataset import IGNORE_LABEL, Colour, make_palette

_MARGIN = 8


def colours(classes: Sequence[str], palette: object = None) -> list[Colour]:
    """One colour a class: the data set's ``palette`` if it has enough, else as of a data set without one."""
    if isinstance(palette, (list, tuple, np.ndarray)) and len(palette) >= len(classes):
        return [(int(red), int(green), int(blue)) for red, green, blue in palette[: len(classes)]]
    return list(make_palette(classes))


def draw_boxes(
    image: Image.Image,
    boxes: np.ndarray,
    labels: Sequence[int],
    classes: Sequence[str],
    palette: Sequence[Colour],
    scores: Sequence[float] | np.ndarray | None = None,
    masks: np.ndarray | None = None,
    zoom: float = 1.0,
) -> Image.Image:
    """A copy of ``image`` with boxes, their class names, and scores if given.

    Args:
        image: RGB.
        boxes: (n, 4) as x1, y1, x2, y2 in pixels of ``image``.
        labels: n class indices.
        classes: names by class index.
        palette: colours by class index.
        scores: n scores in 0..1.
        masks: (n, height, width) of bool, laid over the image half transparent.
        zoom: the picture is enlarged by this, so that names stay readable on small images.
    """
    if masks is not None:
        pixels = np.asarray(image.convert("RGB")).astype(np.float32)
        for mask, label in zip(masks, labels, strict=True):
            pixels[mask] = 0.5 * pixels[mask] + 0.5 * np.asarray(palette[label], np.float32)
        image = Image.fromarray(pixels.astype(np.uint8))
    picture = zoomed(image, zoom)
    pen = ImageDraw.Draw(picture)
    side = max(picture.size)
    width = max(2, round(side / 250))
    font = ImageFont.load_default(max(11, min(side // 36, 28)))
    order = range(len(labels)) if scores is None else np.argsort(scores)  # the surest on top
    for index in order:
        colour = palette[labels[index]]
        x1, y1, x2, y2 = (float(edge) * zoom for edge in boxes[index])
        pen.rectangle((x1, y1, max(x1, x2), max(y1, y2)), outline=colour, width=width)
        text = classes[labels[index]] + (f" {scores[index]:.2f}" if scores is not None else "")
        left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
        x = min(max(0.0, x1), max(0.0, picture.width - right - 4))
        y = y1 - bottom - 3 if y1 - bottom - 3 >= 0 else y1
        pen.rectangle((x, y, x + right + 4, y + bottom + 3), fill=colour)
        pen.text((x + 2, y + 1), text, fill=_ink(colour), font=font)
    return picture


def draw_labels(
    image: Image.Image, labels: np.ndarray, palette: Sequence[Colour], zoom: float = 1.0
) -> Image.Image:
    """A copy of ``image`` with each pixel tinted by its class; ignored pixels become dark.

    Args:
        image: RGB.
        labels: (height, width) class index of each pixel, 255 where there is none.
        palette: colours by class index.
        zoom: the picture is enlarged by this.
    """
    table = np.zeros((max(IGNORE_LABEL + 1, len(palette)), 3), np.float32)
    table[: len(palette)] = palette
    pixels = np.asarray(image.convert("RGB"), np.float32)
    mixed = 0.35 * pixels + 0.65 * table[labels]
    return zoomed(Image.fromarray(mixed.astype(np.uint8)), zoom)


def grid(
    rows: Sequence[Sequence[Image.Image]], titles: Sequence[str], legend: Sequence[tuple[str, Colour]]
) -> Image.Image:
    """Pictures in rows and columns, a title over each column and the classes' colours underneath."""
    font = ImageFont.load_default(18)
    columns = max(len(row) for row in rows)
    cell_w = max(picture.width for row in rows for picture in row)
    heights = [max(picture.height for picture in row) for row in rows]
    width = columns * (cell_w + _MARGIN) + _MARGIN
    head = 32
    sheet = Image.new("RGB", (width, head + sum(heights) + _MARGIN * (len(rows) + 1)), "white")
    pen = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        pen.text((_MARGIN + column * (cell_w + _MARGIN), _MARGIN), title, fill="black", font=font)
    y = head
    for row, row_height in zip(rows, heights, strict=True):
        for column, picture in enumerate(row):
            sheet.paste(picture, (_MARGIN + column * (cell_w + _MARGIN), y))
        y += row_height + _MARGIN
    return with_legend(sheet, legend)


def with_legend(picture: Image.Image, legend: Sequence[tuple[str, Colour]]) -> Image.Image:
    """``picture`` with the names and colours of classes underneath, on as many lines as they need."""
    font, line = ImageFont.load_default(18), 28
    width = max(picture.width, *(_MARGIN + 24 + round(font.getlength(name)) for name, _ in legend), 0)
    lines = _wrap(legend, width - 2 * _MARGIN, font)
    sheet = Image.new("RGB", (width, picture.height + line * len(lines)), "white")
    sheet.paste(picture, (0, 0))
    pen = ImageDraw.Draw(sheet)
    for number, entries in enumerate(lines):
        x, y = float(_MARGIN), picture.height + line * number
        for name, colour in entries:
            pen.rectangle((x, y + 6, x + 16, y + 22), fill=colour, outline="black")
            pen.text((x + 22, y + 3), name, fill="black", font=font)
            x += 22 + font.getlength(name) + 18
    return sheet


def _wrap(
    legend: Sequence[tuple[str, Colour]], width: int, font: ImageFont.FreeTypeFont
) -> list[list[tuple[str, Colour]]]:
    lines: list[list[tuple[str, Colour]]] = [[]]
    used = 0.0
    for name, colour in legend:
        needed = 40 + font.getlength(name)
        if lines[-1] and used + needed > width:
            lines.append([])
            used = 0.0
        lines[-1].append((name, colour))
        used += needed
    return [line for line in lines if line]


def zoomed(image: Image.Image, zoom: float) -> Image.Image:
    """``image`` enlarged by ``zoom``, in RGB."""
    size = (round(image.width * zoom), round(image.height * zoom))
    return image.convert("RGB").resize(size, Image.Resampling.BILINEAR)


def _ink(colour: Colour) -> str:
    """Black or white, whichever is readable on ``colour``."""
    red, green, blue = colour
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else "white"
