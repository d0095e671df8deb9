"""The two lines of OpenMMLab that can be installed: which package has which module, and what fits to it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """Packages that belong together.

    Attributes:
        name: What it is called.
        extra: The extra of this package that brings it.
        packages: Module -> the distribution that has it.
        mmcv: The versions of mmcv that its mmdet and mmseg take.
        lite: The version of mmcv-lite that goes with it.
    """

    name: str
    extra: str
    packages: dict[str, str]
    mmcv: str
    lite: str


RELEASED = Line(
    "released",
    "mm",
    {"mmengine": "mmengine", "mmdet": "mmdet", "mmseg": "mmsegmentation"},
    ">=2.0.0rc4,<2.2",
    "2.1.0",
)
CONTINUED = Line(
    "onedl continuation",
    "onedl",
    {"mmengine": "onedl-mmengine", "mmdet": "onedl-mmdetection", "mmseg": "onedl-mmsegmentation"},
    ">=2.0.0rc4",
    "2.2.0",
)
LINES = (RELEASED, CONTINUED)
#: Distributions that install the folder ``mmcv``: two of them lie over each other.
MMCV = ("mmcv-lite", "mmcv", "onedl-mmcv", "mmcv-full")
#: A package of one line -> that of the other with the same module.
TWINS = {
    one.packages[module]: other.packages[module]
    for one, other in (LINES, LINES[::-1])
    for module in one.packages
}


def line_of(installed: dict[str, str]) -> Line:
    """The line that most of the installed packages are of; the released one where none is."""
    return max(LINES, key=lambda line: sum(name in installed for name in line.packages.values()))
