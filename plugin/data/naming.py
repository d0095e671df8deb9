"""Which label value is which class, and which values mean 'ignore'."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from .categories import check_subset
from .dataset import IGNORE_LABEL, Colour, make_palette, some

VOC_CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train"),
    "tvmonitor",
)
# CamVid in 11 classes, as SegNet's authors give it (arXiv 1511.00561); the value after them is void.
CAMVID_CLASSES = (
    *("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian"),
    "bicyclist",
)
# Cityscapes by the values of its labelIds (arXiv 1604.01685); '' is no class of its evaluation, so ignored.
CITYSCAPES_IDS = (
    *(
        "",
        "",
        "",
        "",
        "",
        "",
        "",
        "road",
        "sidewalk",
        "",
        "",
        "building",
        "wall",
        "fence",
        "",
        "",
        "",
        "pole",
    ),
    *("", "traffic light", "traffic sign", "vegetation", "terrain", "sky", "person", "rider", "car", "truck"),
    *("bus", "", "", "train", "motorcycle", "bicycle"),
)
_CAMVID_FRAME = re.compile(r"(0001TP|0006R0|0016E5|Seq05VD)_")  # its four films
_VOID_NAMES = {"void", "unlabelled", "unlabeled", "unlabel", "ignore", "ignored", "don't care", "dontcare"}
_MOST_CLASSES = IGNORE_LABEL  # label maps have 8 bits: mmseg reads no others


@dataclass(frozen=True)
class Naming:
    """The classes of a data set, by the values in its label files.

    Attributes:
        names: name of each label value, from 0 on, ignored ones included.
        palette: a colour for each name, or none.
        ignored: values that mean 'ignore', beside 255.
        chosen: of the other values those that are classes, in this order; none for all.
    """

    names: tuple[str, ...]
    palette: tuple[Colour, ...]
    ignored: frozenset[int]
    chosen: tuple[int, ...] = ()

    def kept(self) -> list[int]:
        """The values that are classes, in the order of the model's class indices."""
        return list(self.chosen) or [value for value in range(len(self.names)) if value not in self.ignored]

    def only(self, classes: Sequence[str]) -> Naming:
        """With these classes alone, in this order; pixels of others are ignored.

        Raises:
            InputError: a class is unknown.
        """
        check_subset(classes, self.classes())
        return dataclasses.replace(self, chosen=tuple(self.names.index(name) for name in classes))

    def allows(self, value: int) -> bool:
        """Whether a label may hold ``value``."""
        return 0 <= value < len(self.names) or value == IGNORE_LABEL or value in self.ignored

    def classes(self) -> tuple[str, ...]:
        """Names in the order of the model's class indices."""
        return tuple(self.names[value] for value in self.kept())

    def colours(self) -> tuple[Colour, ...]:
        """A colour for each class."""
        palette = self.palette
        return tuple(palette[value] for value in self.kept()) if palette else make_palette(self.classes())

    def label_map(self) -> dict[int, int]:
        """What value in a file becomes what on the way to the model; values that stay are left out."""
        kept = self.kept()
        classes = {value: index for index, value in enumerate(kept) if value != index}
        others = (self.ignored | set(range(len(self.names)))) - set(kept) - {IGNORE_LABEL}
        return classes | dict.fromkeys(sorted(others), IGNORE_LABEL)


def name_values(
    occurring: set[int],
    given: tuple[tuple[str, ...], tuple[Colour, ...]],
    ignore: Collection[int],
    images: Iterable[Path],
    layout: str,
    notes: list[str],
) -> Naming:
    """Name the label values: by the user's file, as a known data set's, else ``class_0``, ``class_1`` ...

    Args:
        occurring: values that occur in the labels.
        given: names and colours from the user's file, if there is one.
        ignore: values that the user says mean 'ignore'.
        images: image files, which tell CamVid.
        layout: ``voc`` or ``folders``; or which of Cityscapes' labels they are.
        notes: takes notes for the user.

    Raises:
        InputError: ``ignore`` has values that no label can hold, or too few or too many values are left.
    """
    if beyond := [value for value in ignore if not 0 <= value <= IGNORE_LABEL]:
        raise InputError(f"--ignore-label {beyond[0]}: a label value lies between 0 and {IGNORE_LABEL}.")
    ignored = frozenset(ignore)
    names, palette = given
    if not names:
        names, ignored = _without_file(occurring, ignored, images, layout, notes)
    naming = Naming(names, palette, ignored)
    if not naming.kept():
        raise InputError(
            f"--ignore-label {' --ignore-label '.join(map(str, sorted(ignored)))} leaves no class of "
            f"{some(names)}. Ignore fewer values."
        )
    unnamed = {value for value in ignored if value < len(names) and names[value] == _unnamed(value)}
    if unnamed:
        notes.append(f"Label values of no class are ignored: {', '.join(map(str, sorted(unnamed)))}.")
    for value in sorted(ignored - unnamed - {IGNORE_LABEL}):
        of = f" ('{names[value]}')" if value < len(names) else ""
        there = "" if value in occurring else "; no label holds it"
        notes.append(f"Label value {value}{of} is ignored, in training and in the figures{there}.")
    for value in naming.kept():
        if names[value].strip().lower() in _VOID_NAMES:
            notes.append(
                f"Warning: '{names[value]}' (label value {value}) is trained and scored like any class. If "
                f"it means pixels to ignore, add --ignore-label {value}."
            )
    return naming


def _unnamed(value: int) -> str:
    """Stands for a value that the data set's authors give no class of their evaluation."""
    return f"other_{value}"


def _without_file(
    occurring: set[int], ignored: frozenset[int], images: Iterable[Path], layout: str, notes: list[str]
) -> tuple[tuple[str, ...], frozenset[int]]:
    """Names from the values that occur, and the values to ignore."""
    if layout == "cityscapes":
        unscored = frozenset(value for value, name in enumerate(CITYSCAPES_IDS) if not name)
        return tuple(name or _unnamed(k) for k, name in enumerate(CITYSCAPES_IDS)), ignored | unscored
    occurring = occurring - {IGNORE_LABEL} - ignored
    scored = tuple(filter(None, CITYSCAPES_IDS))
    if layout == "cityscapes-train-ids" and max(occurring, default=0) < len(scored):
        return scored, ignored
    if len(occurring) < 2:
        others = ", ".join(map(str, sorted({IGNORE_LABEL, *ignored})))
        raise InputError(
            f"The labels hold only the value {', '.join(map(str, sorted(occurring))) or 'none'} beside "
            f"{others}, which means 'ignore'. Write class indices 0, 1, 2, ... into the labels "
            f"(a mask of 0 and 255 becomes 0 and 1)."
        )
    if layout == "voc" and occurring == set(range(len(VOC_CLASSES))):
        return VOC_CLASSES, ignored
    void = len(CAMVID_CLASSES)
    if max(occurring) <= void and all(_CAMVID_FRAME.match(path.name) for path in images):
        notes.append(
            "The images are frames of CamVid: its 11 classes are named by its authors' list. A classes.txt "
            "says otherwise."
        )
        return CAMVID_CLASSES, ignored | ({void} & occurring)
    count = max(occurring) + 1
    if count > _MOST_CLASSES:
        raise InputError(
            f"The labels hold {max(occurring)}, but label maps have 8 bits: class indices run from 0 to "
            f"{_MOST_CLASSES - 1}. Write smaller indices into the labels."
        )
    notes.append(
        f"Warning: there is no classes.txt, so no label value has a name: all of 0 to {count - 1} are "
        f"trained and scored, as class_0 to class_{count - 1}. If one of them means pixels to ignore (void), "
        f"add --ignore-label with it, as --ignore-label {count - 1}. To name them, put a classes.txt with "
        f"one name per line, in the order of the values, beside the images folder."
    )
    return tuple(f"class_{k}" for k in range(count)), ignored
