"""Options that several commands share, and spellings of mmengine that typer does not know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from ..errors import InputError

CONFIG_HELP = (
    "Config file of mmdet or mmseg, a shipped name as detection/faster-rcnn_resnet50_fpn_1x_coco, "
    "or mmdet::<name>, mmseg::<name>."
)
Config = Annotated[str, typer.Argument(metavar="CONFIG", help=CONFIG_HELP)]
Checkpoint = Annotated[
    Path, typer.Argument(metavar="CHECKPOINT", help="Weights of that config's model (.pth).")
]
Data = Annotated[
    Path | None,
    typer.Option(
        help="Folder of your data: COCO, Pascal VOC or YOLO for detection, images and labels for segmentation"
    ),
]
IgnoreLabel = Annotated[
    list[int] | None,
    typer.Option(
        "--ignore-label",
        metavar="N",
        help="Label value in --data that means pixels to ignore (void), beside 255; may be repeated.",
    ),
]
Val = Annotated[
    Path | None,
    typer.Option(metavar="DIR|JSON", help="Validation images of their own, in place of the split of --data."),
]
Test = Annotated[
    Path | None,
    typer.Option(metavar="DIR|JSON", help="Test images of their own, in place of the split of --data."),
]
Split = Annotated[
    str | None,
    typer.Option(
        help="What to read of --data, or of the config: val or test; default: test where --test is given."
    ),
]
Classes = Annotated[
    str | None,
    typer.Option(metavar="A,B", help="Of the classes in --data these alone, in this order."),
]
Workers = Annotated[
    int | None, typer.Option(help="Processes that load data; 0 for none beside the main one.")
]
Device = Annotated[
    str | None, typer.Option(help="cpu, cuda or cuda:<number>; default: a GPU if there is one.")
]
Launcher = Annotated[str, typer.Option(help="none, or pytorch under torchrun.")]
Processes = Annotated[
    int,
    typer.Option(
        min=1,
        help="Processes on this machine that train together, each with a batch of its own: one for each GPU, "
        "or sharing the cores. On two cores small networks go almost twice as fast in two.",
    ),
]
ImgScale = Annotated[
    str | None, typer.Option(metavar="WIDTHxHEIGHT", help="Image size in pixels, also as: 640 480.")
]
BatchSize = Annotated[int | None, typer.Option(help="Images per process and step.")]
BackboneName = Annotated[
    str, typer.Option(help="A name of `mmbackbones list`, timm:<name> or torchvision:<name>.")
]
ConfigOut = Annotated[
    Path | None, typer.Option("--out", "-o", help="File to write; default: standard output.")
]
Epochs = Annotated[int | None, typer.Option(help="Passes over the training images.")]
Lr = Annotated[float | None, typer.Option(help="Learning rate; default: follows the batch size.")]
Pretrained = Annotated[bool, typer.Option(help="Start from the backbone's default weights.")]
Weights = Annotated[
    str | None, typer.Option(help="Instead of the default weights: a tag, an address or a file.")
]
Force = Annotated[bool, typer.Option("--force", help="Write over a file that exists.")]
CfgOptions = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=VALUE ...", help="Any other setting of the config, as in mmengine."),
]


Imports = Annotated[
    list[str] | None,
    typer.Option(
        "--import",
        metavar="FILE",
        help="Python file or module that registers your own networks (register_backbone); may be repeated.",
    ),
]


def parse_classes(given: str | None) -> tuple[str, ...]:
    """``a,b`` as a tuple.

    Raises:
        InputError: it names nothing.
    """
    names = tuple(name.strip() for name in (given or "").split(",") if name.strip())
    if given is not None and not names:
        raise InputError(f"--classes '{given}' names no class. Give names with commas between, as cat,dog.")
    return names


def parse_split(given: str | None) -> Any:
    """``val``, ``test`` or None.

    Raises:
        InputError: something else.
    """
    if given not in (None, "val", "test"):
        raise InputError(f"--split '{given}' is unknown; use val or test.")
    return given


@contextmanager
def quiet_log() -> Iterator[None]:
    """Without the log lines that say which modules of a network were taken: the command says it."""
    from ..catalog.own import own_names

    if not own_names():
        yield
        return
    from mmengine.logging import MMLogger

    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel("WARNING")
    try:
        yield
    finally:
        logger.setLevel(level)


class NamesBadValues(TyperCommand):
    """A command whose usage errors repeat the word that was wrong: typer's name the option alone."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        words = list(args)  # what follows takes the list apart
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            given = _given(words, error.param.opts if error.param else ())
            if given and given not in error.message:  # click's own says it
                error.message = f"{given}: {error.message}"
            raise


def _given(words: Sequence[str], names: Sequence[str]) -> str:
    """The values of an option in a command line, as ``'1', 'x'``."""
    found = []
    for word, following in pairwise([*words, ""]):
        name, sign, value = word.partition("=")
        if name.startswith("-") and name in names:
            found.append(f"'{value if sign else following}'")
    return ", ".join(found)


def normalise(argv: Sequence[str]) -> list[str]:
    """Rewrite spellings with a free number of words into one word for each option.

    ``--cfg-options a=1 b=2`` becomes two options, ``--img-scale 640 480`` one word; a bare
    ``--resume`` or ``--amp`` means ``auto``.

    >>> normalise(["train", "c.py", "--resume", "--img-scale", "640", "480", "--cfg-options", "a=1", "b=2"])
    ['train', 'c.py', '--resume=auto', '--img-scale=640x480', '--cfg-options=a=1', '--cfg-options=b=2']
    """
    words, found = list(argv), []
    while words:
        word = words.pop(0)
        if word == "--cfg-options":
            first = True
            while words and not words[0].startswith("-") and (first or "=" in words[0]):
                found.append(f"--cfg-options={words.pop(0)}")
                first = False
        elif word == "--img-scale" and words:
            scale = words.pop(0)
            if scale.isdigit() and words and words[0].isdigit():
                scale += "x" + words.pop(0)
            found.append(f"--img-scale={scale}")
        elif word == "--resume":
            path = words.pop(0) if words and words[0].endswith(".pth") else "auto"
            found.append(f"--resume={path}")
        elif word == "--amp":
            named = bool(words) and words[0].isalnum()  # a config's name has a slash, a dot or a colon
            found.append(f"--amp={words.pop(0) if named else 'auto'}")
        else:
            found.append(word)
    return found
