"""What each image adds to a metric: all images together give the library's own figure, a resample its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmbackbones.leaderboard.scores import AreaScores, load_scores

IMAGES, CLASSES, SIDE = 12, 3, 64


@pytest.fixture
def truth(tmp_path: Path) -> tuple[Path, list[dict]]:
    """A COCO file with a crowd and an empty image, and detections of it, some of them equal in score."""
    rng = np.random.default_rng(0)
    boxes = [
        (image, int(rng.integers(CLASSES)), *rng.integers(0, 40, 2), *rng.integers(8, 24, 2))
        for image in range(1, IMAGES)
        for _ in range(rng.integers(1, 5))
    ]
    annotations = [
        dict(
            id=n,
            image_id=im,
            category_id=c + 1,
            bbox=[int(v) for v in b],
            area=int(b[2] * b[3]),
            iscrowd=n % 9 == 0,
        )
        for n, (im, c, *b) in enumerate(boxes, 1)
    ]
    content = dict(
        images=[dict(id=n, file_name=f"{n}.jpg", width=SIDE, height=SIDE) for n in range(IMAGES)],
        annotations=annotations,
        categories=[dict(id=n + 1, name=f"c{n}") for n in range(CLASSES)],
    )
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(content))
    found = []
    for image, label, x, y, w, h in boxes:
        for _ in range(3):
            dx, dy = rng.integers(-2, 3, 2)
            label = label if rng.random() < 0.8 else int(rng.integers(CLASSES))
            box = [x + dx, y + dy, x + dx + w, y + dy + h]
            found.append(dict(image=image, box=box, label=label, score=round(float(rng.random()), 1)))
    return path, found


def coco_metric(path: Path, file: Path):
    pytest.importorskip("mmdet")
    from mmbackbones.leaderboard.coco_scores import CocoScores

    metric = CocoScores(str(file), ann_file=str(path), metric="bbox", classwise=True)
    metric.dataset_meta = {"classes": [f"c{n}" for n in range(CLASSES)]}
    return metric


def fed(metric, found: list[dict]) -> dict[str, float]:
    for image in range(IMAGES):
        mine = [one for one in found if one["image"] == image]
        instances = dict(
            bboxes=torch.tensor([one["box"] for one in mine], dtype=torch.float32).reshape(-1, 4),
            scores=torch.tensor([one["score"] for one in mine]),
            labels=torch.tensor([one["label"] for one in mine], dtype=torch.long),
        )
        metric.process({}, [dict(img_id=image, ori_shape=(SIDE, SIDE), pred_instances=instances)])
    return metric.evaluate(IMAGES)


def repeated(path: Path, found: list[dict], counts: np.ndarray, out: Path) -> float:
    """COCO's mAP of a set in which image i stands ``counts[i]`` times."""
    content = json.loads(path.read_text())
    images, annotations, results = [], [], []
    for image, often in enumerate(counts):
        for copy in range(often):
            number = image + 1000 * copy
            images.append({**content["images"][image], "id": number})
            for one in content["annotations"]:
                if one["image_id"] == image:
                    annotations.append({**one, "id": len(annotations) + 1, "image_id": number})
            for one in found:
                if one["image"] == image:
                    x0, y0, x1, y1 = (float(v) for v in one["box"])
                    score = float(np.float32(one["score"]))
                    results.append(
                        dict(
                            image_id=number,
                            category_id=one["label"] + 1,
                            bbox=[x0, y0, x1 - x0, y1 - y0],
                            score=score,
                        )
                    )
    out.write_text(json.dumps({**content, "images": images, "annotations": annotations}))
    truth = COCO(out)
    match = COCOeval(truth, truth.loadRes(results), "bbox")
    match.evaluate()
    match.accumulate()
    precision = match.eval["precision"][..., 0, 2]
    return float(precision[precision > -1].mean())


def test_map_of_any_resample(truth, tmp_path: Path) -> None:
    path, found = truth
    figures = fed(coco_metric(path, tmp_path / "scores.npz"), found)
    scores = load_scores(tmp_path / "scores.npz")
    assert scores.count == IMAGES
    (whole,) = scores.metric(np.ones((1, IMAGES), int))
    assert 0.1 < whole < 0.9
    assert round(float(whole), 3) == figures["coco/bbox_mAP"]
    for number, one in enumerate(found):  # no two are equal, or their order is anybody's
        one["score"] += 0.0001 * number
    fed(coco_metric(path, tmp_path / "scores.npz"), found)
    scores = load_scores(tmp_path / "scores.npz")
    rng = np.random.default_rng(1)
    drawn = rng.multinomial(IMAGES, np.full(IMAGES, 1 / IMAGES), size=4)
    got = scores.metric(drawn)
    for counts, value in zip(drawn, got, strict=True):
        single = (counts > 0).astype(int)
        assert scores.metric(single[None])[0] == pytest.approx(
            repeated(path, found, single, tmp_path / "r.json"), abs=1e-9
        )
        assert value == pytest.approx(repeated(path, found, counts, tmp_path / "r.json"), abs=0.02)


def test_a_detector_that_finds_nothing_has_0(truth, tmp_path: Path) -> None:
    path, _ = truth
    assert fed(coco_metric(path, tmp_path / "scores.npz"), []) == {}
    scores = load_scores(tmp_path / "scores.npz")
    assert scores.metric(np.ones((2, IMAGES), int)).tolist() == [0.0, 0.0]


def test_miou_of_any_resample(tmp_path: Path) -> None:
    pytest.importorskip("mmseg")
    from mmbackbones.leaderboard.iou_scores import IoUScores

    def metric():
        made = IoUScores(str(tmp_path / "scores.npz"), iou_metrics=["mIoU"], ignore_index=255)
        made.dataset_meta = {"classes": ["a", "b", "c"]}
        return made

    rng = np.random.default_rng(0)
    labels = torch.from_numpy(rng.integers(0, 2, (IMAGES, 1, 8, 8)))  # class c is nowhere
    labels[0, 0, 0] = 255
    guesses = torch.where(torch.from_numpy(rng.random(labels.shape)) < 0.7, labels % 255, 1)

    def sample(n: int) -> dict:
        return dict(pred_sem_seg=dict(data=guesses[n]), gt_sem_seg=dict(data=labels[n]))

    def figure(images: list[int]) -> float:
        made = metric()
        made.process({}, [sample(n) for n in images])
        return made.evaluate(len(images))["mIoU"]

    drawn = [0, 0, 3, 5, 5, 5, 7, 8, 9, 9, 10, 11]
    expected = figure(drawn)
    whole = figure(list(range(IMAGES)))
    scores = load_scores(tmp_path / "scores.npz")
    assert isinstance(scores, AreaScores)
    counts = np.stack([np.ones(IMAGES, int), np.bincount(drawn, minlength=IMAGES)])
    assert [round(value, 2) for value in scores.metric(counts).tolist()] == [whole, expected]
