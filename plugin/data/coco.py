"""COCO layout: finds the annotation file of each split and the folder of its images."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InputError
from .dataset import some

KEYS = ("images", "annotations", "categories")
LOOKED_FOR = (
    "COCO: train.json and val.json (or one *.json) beside images/, annotations/instances_*.json with "
    "train2017/ and val2017/ or images/{train,val}/, or train/_annotations.coco.json with valid/"
)

SPLIT_WORDS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "minival", "dev"),
    "test": ("test", "testing"),
}
_ANNOTATION_DIRS = ("annotations", "annotation", "Annotations")
_OTHER_TASKS = re.compile(r"captions|person_keypoints|image_info|panoptic|stuff|classes|deepfashion", re.I)


@dataclass
class Boxes:
    """One split as read: COCO lists, not checked yet.

    Attributes:
        source: the annotation file or folder, for messages.
        img_dir: folder that ``file_name`` is relative to.
        images, annotations, categories: as in COCO.
        file: the user's file that holds exactly this; None if it must be written first.
    """

    source: Path
    img_dir: Path
    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    categories: list[dict[str, Any]]
    file: Path | None = None
    info: dict[str, Any] = field(default_factory=dict)

    def where(self, annotation: dict[str, Any]) -> str:
        """How a message calls an annotation."""
        return f"annotation {annotation.get('id')}"


def split_of(word: str) -> str | None:
    """``train``, ``val`` or ``test`` if ``word`` says so, as in ``instances_train2017``."""
    words = re.split(r"[^a-z]+", word.lower())
    return next((split for split, names in SPLIT_WORDS.items() if any(name in words for name in names)), None)


def find_files(
    root: Path, *, any_json: bool = False, test: bool = False
) -> tuple[dict[str, Path], list[str]]:
    """The annotation file of each split, and notes; a single file is the split ``all``.

    Args:
        root: the user's folder.
        any_json: take a file that names no split even if it is not COCO, so that :func:`read` can say
            what is wrong with it.
        test: the test split is wanted too.

    Raises:
        InputError: several files claim one split.
    """
    folders = [root, *(root / name for name in _ANNOTATION_DIRS)]
    folders += sorted(path for path in root.iterdir() if path.is_dir() and split_of(path.name))
    claims: dict[str, list[Path]] = {}
    for path in _unique(file for folder in folders if folder.is_dir() for file in folder.glob("*.json")):
        if _OTHER_TASKS.search(path.stem) or path.name.startswith(".") or not path.is_file():
            continue
        inside = path.parent.name if path.parent != root else ""
        claims.setdefault(split_of(path.stem) or split_of(inside) or "all", []).append(path)
    claims = {split: _best(paths) for split, paths in claims.items()}
    splits = {split: _only(root, split, paths) for split, paths in claims.items() if paths and split != "all"}
    notes = []
    if "test" in splits and not test:
        notes.append(f"'{splits.pop('test').relative_to(root)}' is a test split and is not used.")
    if "train" in splits:
        return splits, notes
    tests = {"test": splits["test"]} if "test" in splits else {}
    plain = [path for path in claims.get("all", []) if any_json or _is_coco(path)]
    if plain:
        return {"all": _only(root, "all", plain), **tests}, notes
    return ({"all": splits["val"], **tests} if "val" in splits else {}), notes


def _unique(paths: Any) -> list[Path]:
    return sorted({path.resolve(): path for path in paths}.values())


def _best(paths: list[Path]) -> list[Path]:
    """Those named ``instances_*`` if there are any; of several, those that really are COCO."""
    best = [path for path in paths if path.stem.startswith("instances")] or paths
    return [path for path in best if _is_coco(path)] if len(best) > 1 else best


def _only(root: Path, split: str, paths: list[Path]) -> Path:
    if len(paths) > 1:
        names = some(path.relative_to(root) for path in paths)
        part = "data set" if split == "all" else f"{split} split"
        raise InputError(
            f"'{root}' has several annotation files for the {part}: {names}. Keep one, or name them "
            f"train.json and val.json."
        )
    return paths[0]


def _is_coco(path: Path) -> bool:
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    except OSError:
        return True  # so that `read` says why it cannot be read
    return isinstance(content, dict) and all(key in content for key in KEYS)


def read(root: Path, path: Path, split: str) -> Boxes:
    """One annotation file with the folder of its images.

    Raises:
        InputError: not readable, not JSON, not COCO, empty, or none of its images is there.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"Cannot read '{path}': {error.strerror}. Check its rights.") from error
    except (ValueError, RecursionError) as error:  # JSON and text decoding errors are both ValueErrors
        raise InputError(f"'{path}' is not JSON: {error}. Export it once more as COCO json.") from error
    lists = content if isinstance(content, dict) else {}
    wrong = [key for key in KEYS if not _is_list_of_dicts(lists.get(key))]
    if wrong:
        raise InputError(
            f"'{path}' is not a COCO detection file: {some(wrong)} must be there as lists of objects. "
            f"Export it once more as COCO json."
        )
    if not lists["images"]:
        raise InputError(f"'{path}' is an empty data set: its list 'images' has no entry. Add images to it.")
    bad = [
        one for one in lists["images"] if not (isinstance(one.get("file_name"), str) and is_id(one.get("id")))
    ]
    if bad:
        raise InputError(
            f"'{path}': {len(bad)} of its images lack an 'id' (number or text) or a 'file_name' (text): "
            f"{some(bad)}. Export it once more as COCO json."
        )
    img_dir = _find_img_dir(root, path, split, [image["file_name"] for image in lists["images"]])
    file = path if isinstance(lists.get("info"), dict) else None  # pycocotools 2.0.9 wants 'info'
    images, annotations, categories = (lists[key] for key in KEYS)
    return Boxes(path, img_dir, images, annotations, categories, file, lists.get("info") or {})


def is_id(value: object) -> bool:
    """True for what COCO allows as an id."""
    return isinstance(value, (int, str))


def _is_list_of_dicts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _find_img_dir(root: Path, path: Path, split: str, names: list[str]) -> Path:
    """The folder in which most of the named images lie, judged by a sample of them."""
    tokens = [path.stem.removeprefix("instances_"), *SPLIT_WORDS.get(split, ()), "default", ""]
    candidates = [path.parent] if path.parent != root else []
    candidates += [path.parent / "images", path.parent / "data"]
    for token in tokens:
        for pattern in ("images/{}", "{}/images", "{}/data", "{}", "data/{}", "JPEGImages/{}"):
            candidates.append(root / pattern.format(token).strip("/"))
    sample = names[:: max(1, len(names) // 50)]
    folders = [folder for folder in dict.fromkeys(candidates) if folder.is_dir()]
    hits = [sum(os.path.isfile(folder / name) for name in sample) for folder in folders]
    if not folders or max(hits) == 0:
        places = some((folder.relative_to(root) for folder in folders), limit=8)
        raise InputError(
            f"'{path}' names {len(names)} images, as {some(names[:1])}, but they are in none of the "
            f"folders of '{root}' ({places}). Put them into '{root / 'images'}'."
        )
    return folders[hits.index(max(hits))]
