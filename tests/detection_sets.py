"""Small COCO and Pascal VOC data sets that the tests of recognition write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image


def draw(path: Path, size: tuple[int, int] = (32, 24)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 120, 60)).save(path)
    return path


def coco(names: list[str], *, box: list[float] | None = None, first_id: int = 1) -> dict[str, Any]:
    """A COCO dict: one cat and one dog in each 32x24 image; ids have gaps and are not sorted."""
    images = [dict(id=first_id + k, file_name=name, width=32, height=24) for k, name in enumerate(names)]
    annotations = []
    for image in images:
        for category in (17, 4):
            number = len(annotations) + 1
            annotations.append(
                dict(
                    id=number,
                    image_id=image["id"],
                    category_id=category,
                    bbox=box or [2, 3, 10, 8],
                    area=80,
                    iscrowd=0,
                )
            )
    categories = [dict(id=17, name="dog"), dict(id=4, name="cat")]
    return dict(info={}, images=images, annotations=annotations, categories=categories)


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def state(root: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(root.rglob("*"))}


def voc_xml(*objects: tuple[str, int, int, int, int, int], size: tuple[object, object] = (32, 24)) -> str:
    written = "".join(
        f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin>"
        f"<xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
        for name, x0, y0, x1, y1, difficult in objects
    )
    return (
        f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height></size>{written}</annotation>"
    )


def make_voc(base: Path, xml: str | None = None) -> Path:
    for name in "abcd":
        draw(base / "JPEGImages" / f"{name}.jpg")
        default = voc_xml(("sheep", 1, 1, 10, 20, 0), ("dog", 3, 3, 3, 5, 1))
        write(base / "Annotations" / f"{name}.xml", xml or default)
    return base


def names_of(split) -> set[str]:
    return {image["file_name"] for image in json.loads(split.ann_file.read_text())["images"]}
