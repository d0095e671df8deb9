"""Recognition of two real data sets; skipped where they are absent."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from mmbackbones.data.layouts import recognise

SHARED = Path(os.environ.get("MMBACKBONES_SHARED", Path(__file__).parents[2] / "shared")) / "data"
needs = {
    name: pytest.mark.skipif(
        not (SHARED / name).is_dir(), reason=f"the data set {name} is not on this machine"
    )
    for name in ("bccd", "camvid")
}


def listing(root: Path) -> str:
    lines = [f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in sorted(root.rglob("*"))]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@needs["bccd"]
def test_bccd(tmp_path):
    before = listing(SHARED / "bccd")
    data = recognise(SHARED / "bccd", "detection", cache_dir=tmp_path)
    assert listing(SHARED / "bccd") == before
    assert (data.layout, data.classes, data.has_masks) == ("coco", ("RBC", "WBC", "Platelets"), False)
    assert (data.train.count, data.val.count) == (205, 87)
    boxes = [len(json.loads(split.ann_file.read_text())["annotations"]) for split in (data.train, data.val)]
    assert boxes == [2804, 1137]
    assert data.notes == ()


@needs["camvid"]
def test_camvid(tmp_path):
    before = listing(SHARED / "camvid")
    data = recognise(SHARED / "camvid", "segmentation", cache_dir=tmp_path)
    assert listing(SHARED / "camvid") == before
    assert (data.layout, len(data.classes), data.classes[10]) == ("folders", 11, "bicyclist")
    assert (data.train.count, data.val.count) == (367, 101)
    assert [note.split(":")[0] for note in data.notes] == ["The images are frames of CamVid"]
    assert data.label_map == {}
