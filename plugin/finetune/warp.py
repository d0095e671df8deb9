"""Moves an image of a pipeline of mmdet or mmseg with its boxes, masks and label maps, by one matrix.

Coordinates are those of boxes: pixel (0, 0) covers the square from (0, 0) to (1, 1). The size of the
image stays.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

Array = NDArray[Any]

MIN_SIDE = 1.0  # pixels: what is left of a box must be this wide and high
_ONE_PER_OBJECT = ("gt_bboxes", "gt_bboxes_labels", "gt_ignore_flags", "gt_masks", "gt_instances_ids")
_NOT_CARRIED = ("gt_keypoints", "proposals")


def warp(results: dict[str, Any], matrix: Array, image_fill: float, label_fill: int) -> dict[str, Any]:
    """``results`` with all that lies in the image moved by ``matrix``; a new dict, arrays are not shared.

    Args:
        results: ``img`` (H, W, C); where they are there ``gt_bboxes``, ``gt_masks`` and what else
            there is one of per object, ``gt_seg_map`` and the label maps listed in ``seg_fields``.
        matrix: (3, 3), affine, takes (x, y, 1) to its new place.
        image_fill: grey value of image areas that nothing was moved to.
        label_fill: value of such areas in label maps.

    Returns:
        Boxes are the bounds of what can be seen of the moved box; objects of which less than a pixel
        is left are gone. If that would be all of them, ``results`` itself comes back.

    Raises:
        InputError: boxes of another kind than ``HorizontalBoxes``, key points or proposals.
    """
    for key in _NOT_CARRIED:
        if results.get(key) is not None:
            raise InputError(
                f"RandAugment does not move '{key}'. Take the geometric operations out of `ops`."
            )
    moved = dict(results)
    height, width = results["img"].shape[:2]
    if results.get("gt_bboxes") is not None:
        boxes = _move_boxes(_coordinates(results["gt_bboxes"]), matrix, width, height)
        keep = np.asarray(np.all(boxes[:, 2:] - boxes[:, :2] >= MIN_SIDE, axis=1))
        if len(keep) and not keep.any():
            return results
        moved["gt_bboxes"] = _like(results["gt_bboxes"], boxes)
    if results.get("gt_masks") is not None:
        moved["gt_masks"] = _move_masks(results["gt_masks"], matrix)
    if results.get("gt_bboxes") is not None:
        for key in _ONE_PER_OBJECT:
            if moved.get(key) is not None:
                moved[key] = _take(moved[key], keep)
    moved["img"] = _warp_array(results["img"], matrix, cv2.INTER_LINEAR, image_fill)
    for key in {"gt_seg_map", *results.get("seg_fields", ())}:
        if results.get(key) is not None:
            moved[key] = _warp_array(results[key], matrix, cv2.INTER_NEAREST, label_fill)
    # As mmdet's own geometric transforms note it, for semi-supervised detectors.
    before = results.get("homography_matrix")
    moved["homography_matrix"] = (matrix if before is None else matrix @ before).astype(np.float32)
    return moved


def visible(corners: Array, width: int, height: int) -> Array:
    """The part of a convex polygon inside the image.

    Args:
        corners: (N, 2), x and y in order around the polygon.

    Returns:
        (M, 2), empty if nothing is inside.
    """
    image = np.array([(0, 0), (width, 0), (width, height), (0, height)], dtype=np.float32)
    area, common = cv2.intersectConvexConvex(corners.astype(np.float32), image, handleNested=True)
    if not area:  # where two polygons touch, OpenCV may name points that are in neither
        return np.empty((0, 2))
    return common.reshape(-1, 2).clip((0, 0), (width, height))  # of rounding errors


def _move_boxes(boxes: Array, matrix: Array, width: int, height: int) -> Array:
    """Bounds of the visible part of each moved box, (N, 4); all zero where nothing can be seen."""
    moved = np.zeros_like(boxes)
    for k, (x1, y1, x2, y2) in enumerate(boxes):
        corners = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])
        corners = visible(corners @ matrix[:2, :2].T + matrix[:2, 2], width, height)
        if len(corners):
            moved[k] = [*corners.min(0), *corners.max(0)]
    return moved


def _move_masks(masks: Any, matrix: Array) -> Any:
    """mmdet's bitmaps are warped one by one: OpenCV takes 128 channels at most (4.x: 512)."""
    from mmdet.structures.mask import BitmapMasks, PolygonMasks

    if isinstance(masks, PolygonMasks):  # may reach out of the image, which their drawing allows for
        new = [[_move_polygon(polygon, matrix) for polygon in polygons] for polygons in masks.masks]
        return PolygonMasks(new, masks.height, masks.width)
    if not isinstance(masks, BitmapMasks):
        raise InputError(f"RandAugment moves BitmapMasks and PolygonMasks, not {type(masks).__name__}.")
    bitmaps = [_warp_array(bitmap, matrix, cv2.INTER_NEAREST, 0) for bitmap in masks.masks]
    return BitmapMasks(bitmaps, masks.height, masks.width)


def _move_polygon(polygon: Array, matrix: Array) -> Array:
    points = np.asarray(polygon, dtype=np.float64).reshape(-1, 2)
    return (points @ matrix[:2, :2].T + matrix[:2, 2]).reshape(-1)


def _warp_array(array: Array, matrix: Array, interpolation: int, fill: float) -> Array:
    """OpenCV counts from pixel centres, half a pixel from where boxes count."""
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    from_centres = (np.linalg.inv(half) @ matrix @ half)[:2]
    size = array.shape[1::-1]
    # Not every integer type is known to OpenCV; float32 holds all labels below 2**24.
    source = array if array.dtype in (np.uint8, np.float32) else array.astype(np.float32)
    warped = cv2.warpAffine(
        source,
        from_centres,
        size,
        flags=interpolation,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=[fill] * 4,
    )
    return warped.astype(array.dtype).reshape(array.shape)


def _coordinates(boxes: Any) -> Array:
    """(N, 4) x1, y1, x2, y2 of mmdet's horizontal boxes or of an array."""
    if isinstance(boxes, np.ndarray):
        return boxes.astype(np.float64)
    from mmdet.structures.bbox import HorizontalBoxes

    if not isinstance(boxes, HorizontalBoxes):
        raise InputError(f"RandAugment moves HorizontalBoxes, not {type(boxes).__name__}.")
    return np.asarray(boxes.tensor.cpu().double())


def _like(boxes: Any, values: Array) -> Any:
    """``values`` (N, 4) in the kind and type of ``boxes``."""
    if isinstance(boxes, np.ndarray):
        return values.astype(boxes.dtype)
    return type(boxes)(boxes.tensor.new_tensor(values), clone=False)


def _take(values: Any, keep: Array) -> Any:
    """The entries of an array, list, box or mask structure for which ``keep`` is true."""
    if isinstance(values, (list, tuple)):
        return type(values)(value for value, kept in zip(values, keep, strict=True) if kept)
    return values[keep.nonzero()[0]]
