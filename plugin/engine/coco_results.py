"""Predictions in the format of COCO's results, which pycocotools and most tools of others read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from ..compose.configs import kind, walk
from .predictions import Prediction

RESULTS_NAME = "coco_results.json"


class CocoResults:
    """Collects boxes, and masks as run lengths.

    Image and category ids are those of the config's test data where that has the file; other images are
    numbered from above these on, and ``file_name`` says which is which. Without such data categories are
    counted from 1 in the order of the classes, as COCO does.

    Args:
        cfg: of the model.
        classes: names by class index.
    """

    def __init__(self, cfg: Config, classes: list[str]) -> None:
        self._ids: dict[Path, Any] = {}
        self._categories = dict(zip(classes, range(1, len(classes) + 1), strict=True))
        for _, node in walk(cfg.get("test_dataloader") or {}):
            file = Path(node.get("data_root") or "") / (node.get("ann_file") or "")
            if kind(node) == "CocoDataset" and file.is_file():
                self._read(file, Path(node.get("data_root") or "") / node["data_prefix"]["img"])
        numbers = [one for one in self._ids.values() if isinstance(one, int)]
        self._next = max(numbers, default=0) + 1
        self.rows: list[dict[str, Any]] = []

    def _read(self, file: Path, folder: Path) -> None:
        content = json.loads(file.read_bytes())
        named = {one["name"]: one["id"] for one in content["categories"]}
        if named.keys() >= self._categories.keys():
            self._categories = named
        self._ids |= {(folder / one["file_name"]).resolve(): one["id"] for one in content["images"]}

    def add(self, path: Path, found: Prediction) -> None:
        """Append what was found in a file."""
        number = self._ids.get(path.resolve())
        if number is None:
            number, self._next = self._next, self._next + 1
        scores = found.scores if found.scores is not None else np.zeros(len(found.labels))
        for index, (box, name, score) in enumerate(zip(found.boxes, found.names, scores, strict=True)):
            x0, y0, x1, y1 = (float(edge) for edge in box)
            row: dict[str, Any] = {
                "image_id": number,
                "file_name": path.name,
                "category_id": self._categories[name],
                "bbox": [round(value, 2) for value in (x0, y0, x1 - x0, y1 - y0)],
                "score": round(float(score), 5),
            }
            if found.masks is not None:
                row["segmentation"] = _run_lengths(found.masks[index])
            self.rows.append(row)

    def write(self, path: Path) -> None:
        """Write all rows."""
        path.write_text(json.dumps(self.rows) + "\n")


def _run_lengths(mask: np.ndarray) -> dict[str, Any]:
    from pycocotools.mask import encode

    coded = encode(np.asfortranarray(mask, np.uint8))
    return {"size": list(mask.shape), "counts": coded["counts"].decode()}
