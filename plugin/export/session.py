"""An ONNX file in the place of the model that it was made from."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.model import BaseModel
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from ..engine.timing import in_turn
from ..errors import InputError, need
from .graph import clips
from .onnx_file import INPUT, SIDES
from .openvino_file import OpenVinoSession
from .suppression import most_before


class OnnxSession:
    """An ONNX file in onnxruntime.

    Attributes:
        facts: what the file says of itself.
        shape: of the image, (1, C, H, W); a free side is no number.
        inputs: how many there are.
    """

    def __init__(self, path: Path) -> None:
        need("onnxruntime")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()  # so OMP_NUM_THREADS holds here too
        try:
            self._run = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own exceptions have no common parent but this
            raise InputError(f"{path} cannot be read as an ONNX file: {error}") from error
        self.facts = self._run.get_modelmeta().custom_metadata_map
        self.shape, self.inputs = self._run.get_inputs()[0].shape, len(self._run.get_inputs())

    def __call__(self, given: dict[str, np.ndarray]) -> list[np.ndarray]:
        found: list[np.ndarray] = self._run.run(None, given)
        return found


class OnnxModel(BaseModel):
    """Runs the file where mmengine's loops run ``model``; the model does the rest, as suppression.

    Args:
        path: A file of :func:`mmbackbones.export.onnx_file.write_onnx`, or of
            :func:`mmbackbones.export.openvino_file.write_openvino`.
        model: The model in torch.

    Raises:
        InputError: not such a file.
    """

    def __init__(self, path: Path, model: Any) -> None:
        super().__init__()
        self.session: Any = (OpenVinoSession if path.suffix == ".xml" else OnnxSession)(path)
        facts = self.session.facts
        if facts.get("made_by") != "mmbackbones":
            raise InputError(f"{path} was not written by `mmbackbones export`, so its inputs are unknown.")
        self.pad_value, self.multiple = json.loads(facts["pad_value"]), json.loads(facts["multiple"])
        self.path, self.torch_model = path, model
        sides = self.session.shape[2:]
        self.size = tuple(sides) if all(isinstance(side, int) for side in sides) else None
        self.chooses = self.session.inputs > 1

    def run(self, image: Tensor, sides: Sequence[int] | None = None) -> list[Tensor]:
        """The file's outputs for ``image`` (1, C, H, W), 0..255, whose (height, width) are no padding."""
        given = {INPUT: image.numpy()}
        if self.chooses:
            given[SIDES] = np.array(sides or image.shape[2:], np.float32)
        return [torch.from_numpy(value) for value in self.session(given)]

    def test_step(self, data: Any) -> list[Any]:
        """Data samples with predictions, as the model's own ``test_step``."""
        return [
            self._one(image, sample)
            for image, sample in zip(data["inputs"], data["data_samples"], strict=True)
        ]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Not used: the loops call :meth:`test_step`."""
        raise NotImplementedError

    def _one(self, image: Tensor, sample: Any) -> Any:
        padded = fill(image, self.size, self.pad_value, self.multiple)
        outputs = self.run(padded, image.shape[1:])
        high, wide = (int(a - b) for a, b in zip(padded.shape[2:], image.shape[1:], strict=True))
        if len(outputs) == 1:
            sample.set_metainfo({"img_padding_size": (0, wide, 0, high)})
            return self.torch_model.postprocess_result(outputs[0], [sample])[0]
        if self.chooses:
            sample.pred_instances = _placed([one[0] for one in outputs], sample.metainfo, self.torch_model)
            return sample
        head = self.torch_model.bbox_head
        sample.pred_instances = choose(
            head, outputs[0][0], outputs[1][0], sample.metainfo, outputs[2][0] if len(outputs) > 2 else None
        )
        return sample


def seconds(models: Mapping[str, OnnxModel], image: Tensor, runs: int = 20) -> dict[str, float]:
    """Median seconds of ``runs`` runs of each on ``image``, in turn: other work then falls on all alike."""
    calls = {name: partial(model.run, image) for name, model in models.items()}
    return {name: statistics.median(found) for name, found in in_turn(calls, runs, warm_up=3).items()}


def fill(image: Tensor, size: tuple[int, int] | None, pad_value: list[float], multiple: int = 1) -> Tensor:
    """``image`` (C, h, w) as (1, C, H, W), padded below and on the right to ``size``, or to a multiple.

    Raises:
        InputError: the image is larger than ``size``.
    """
    high, wide = image.shape[1:]
    target = size or (-(-high // multiple) * multiple, -(-wide // multiple) * multiple)
    if high > target[0] or wide > target[1]:
        raise InputError(
            f"An image of {wide}x{high} pixels (after resizing) does not fit into the file's "
            f"{target[1]}x{target[0]}. Export with a square --img-scale, or with --dynamic."
        )
    value = torch.tensor(pad_value).view(-1, 1, 1)
    shifted = image.float() - value  # so that the padding is zero
    return (F.pad(shifted, (0, target[1] - wide, 0, target[0] - high)) + value)[None]


def choose(
    head: Any, boxes: Tensor, scores: Tensor, meta: dict[str, Any], factors: Tensor | None = None
) -> InstanceData:
    """Boxes of one image above the score threshold, after non-maximum suppression, in the image as read.

    ``nms_pre`` counts over all levels, where mmdet's heads count each level apart.
    """
    cfg = head.test_cfg
    place, label = (scores > cfg.get("score_thr", 0)).nonzero(as_tuple=True)
    found = scores[place, label]
    best = found.argsort(descending=True)[: most_before(head)]
    chosen = boxes[place[best]]
    if clips(head):  # at the image: the file knows of the padded one only
        high, wide = meta["img_shape"][:2]
        chosen = chosen.clamp(min=0).minimum(torch.tensor([wide, high, wide, high]))
    results = InstanceData(bboxes=chosen, scores=found[best], labels=label[best])
    if factors is not None:
        results.score_factors = factors[place[best]]
    return head._bbox_post_process(results, cfg, rescale=True, with_nms=True, img_meta=meta)


def _placed(outputs: list[Tensor], meta: dict[str, Any], model: Any) -> InstanceData:
    """What a file has chosen of one image, in the image as read."""
    boxes, scores, labels, *masks = outputs
    wide, high = meta["scale_factor"]
    results = InstanceData(bboxes=boxes / boxes.new_tensor([wide, high] * 2), scores=scores, labels=labels)
    if masks:
        from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask

        whole, _ = _do_paste_mask(masks[0][:, None], results.bboxes, *meta["ori_shape"][:2], skip_empty=False)
        results.masks = whole >= model.roi_head.test_cfg.mask_thr_binary
    return results


def raw_images(dataset: Any, count: int) -> Iterator[Tensor]:
    """The first ``count`` images of a data set behind its pipeline, (C, h, w), 0..255."""
    for index in range(min(count, len(dataset))):
        yield dataset[index]["inputs"]
