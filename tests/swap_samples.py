"""What a data loader gives a config of mmdet or mmseg, drawn at random: images and what there is to learn."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.logging import MessageHub

from mmbackbones.compose.configs import kind, walk

#: How many candidates small images have room for, by the names of the settings that ask for more; of classes
#: as many as LVIS has, since NMS goes through them one by one.
_FEW = {
    "nms_pre": 100,
    "max_per_img": 30,
    "num_queries": 30,
    "num_proposals": 30,
    "num_points": 200,
    "num": 64,
    "num_classes": 1300,
}
Shape = tuple[int, int]


def small(model: dict[str, Any], side: int) -> dict[str, Any]:
    """A model's config for small images on one CPU, in place: few candidates, no synced norms, no padding
    to the sizes of its own training."""
    for _, node in walk(model):
        for key, most in _FEW.items():
            if isinstance(node.get(key), int) and node[key] > most:
                node[key] = most
        if "score_thr" in node:
            node["score_thr"] = 0.0  # random weights are sure of nothing
        if "Preprocessor" in kind(node) or "PreProcessor" in kind(node):
            node.pop("batch_augments", None)
            if node.get("size") is not None:
                node["size"] = (side, side)
    _plain_norms(model)
    return model


def _plain_norms(node: Any) -> None:
    """SyncBN, which a CPU has not, as BN."""
    entries = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in entries:
        if value in ("SyncBN", "MMSyncBN"):
            node[key] = "BN"
        elif isinstance(value, (dict, list)):
            _plain_norms(value)


def packed(model: dict[str, Any], scope: str, shape: Shape, *, training: bool) -> dict[str, Any]:
    """A batch of two images, or of one for prediction, as the config's data loader would pack it; and said
    as a runner does that this is the first iteration, for losses that warm up."""
    MessageHub.get_current_instance().update_info_dict({"iter": 0, "epoch": 0})
    generator = torch.Generator().manual_seed(1)
    preprocessor = kind(model.get("data_preprocessor") or {})
    count = 2 if training else 1
    if preprocessor == "ReIDDataPreprocessor":
        return _people(generator, training)
    if scope == "mmseg":
        samples = [_segmented(shape, generator) for _ in range(count)]
        return {"inputs": [_image(shape, generator) for _ in samples], "data_samples": samples}
    if preprocessor == "TrackDataPreprocessor" and not (
        training and model["data_preprocessor"].get("use_det_processor")
    ):
        return _clip(shape, generator)
    texts = "language_model" in model
    classes = min((node["num_classes"] for _, node in walk(model) if node.get("num_classes")), default=2)
    samples = [_detected(shape, texts, classes) for _ in range(count)]
    if "rpn_head" in model or "roi_head" not in model:  # those that are given would be taken
        for sample in samples:
            del sample.proposals
    images = [_image(shape, generator) for _ in samples]
    if preprocessor == "MultiBranchDataPreprocessor" and training:
        branches = ("sup", "unsup_teacher", "unsup_student")
        return {
            "inputs": {branch: [one.clone() for one in images] for branch in branches},
            "data_samples": {
                branch: [_detected(shape, texts, classes) for _ in images] for branch in branches
            },
        }
    return {"inputs": images, "data_samples": samples}


def _image(shape: Shape, generator: torch.Generator) -> torch.Tensor:
    return torch.randint(0, 256, (3, *shape), generator=generator, dtype=torch.uint8)


def _meta(shape: Shape) -> dict[str, Any]:
    height, width = shape
    return dict(
        img_shape=shape,
        ori_shape=shape,
        pad_shape=shape,
        batch_input_shape=shape,
        scale_factor=(1.0, 1.0),
        flip=False,
        flip_direction=None,
        img_id=0,
        img_path="none.png",
        border=[0, height, 0, width],  # CenterNet, CornerNet
        homography_matrix=torch.eye(3).numpy(),  # teacher and student
    )


def _segmented(shape: Shape, generator: torch.Generator) -> Any:
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    labels = torch.randint(0, 2, (1, *shape), generator=generator)
    return SegDataSample(metainfo=_meta(shape), gt_sem_seg=PixelData(data=labels))


def _detected(shape: Shape, texts: bool = False, classes: int = 2) -> Any:
    """Two boxes with masks, a semantic map and proposals near the boxes."""
    from mmdet.structures import DetDataSample
    from mmdet.structures.bbox import HorizontalBoxes
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData, PixelData

    height, width = shape
    corners = torch.tensor([[0.08, 0.08, 0.73, 0.62], [0.42, 0.31, 0.98, 0.97]])
    boxes = (corners * torch.tensor([width, height, width, height])).round()
    masks = torch.zeros(2, *shape, dtype=torch.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist(), strict=True):
        mask[top:bottom, left:right] = 1
    truth = InstanceData(bboxes=HorizontalBoxes(boxes), labels=torch.tensor([0, min(1, classes - 1)]))
    truth.masks = BitmapMasks(masks.numpy(), *shape)
    truth.instances_ids = torch.tensor([5, 6])
    meta = _meta(shape)
    if texts:
        meta |= dict(text=("cat", "dog"), custom_entities=True)
    sample = DetDataSample(metainfo=meta, gt_instances=truth)
    sample.ignored_instances = InstanceData(
        bboxes=HorizontalBoxes(torch.zeros(0, 4)), labels=torch.zeros(0, dtype=torch.long)
    )
    sample.gt_sem_seg = PixelData(sem_seg=masks.amax(0, keepdim=True))
    shifts = torch.tensor([0.0, 3.0, -3.0, 9.0]).view(-1, 1, 1)
    near = (boxes + shifts).clamp(min=0).view(-1, 4)
    sample.proposals = InstanceData(bboxes=near, scores=torch.linspace(0.9, 0.1, len(near)))
    return sample


def _clip(shape: Shape, generator: torch.Generator) -> dict[str, Any]:
    """One clip of two frames: the first is the key frame."""
    from mmdet.models.utils import samplelist_boxtype2tensor
    from mmdet.structures import TrackDataSample

    frames = [_detected(shape) for _ in range(2)]
    samplelist_boxtype2tensor(frames)  # what their preprocessor leaves to the pipeline
    for number, frame in enumerate(frames):
        frame.set_metainfo(dict(frame_id=number, video_length=2, ori_video_length=2))
    sample = TrackDataSample(metainfo=dict(key_frames_inds=[0], ref_frames_inds=[1]))
    sample.video_data_samples = frames
    images = torch.stack([_image(shape, generator) for _ in frames])
    return {"inputs": [images], "data_samples": [sample]}


def _people(generator: torch.Generator, training: bool) -> dict[str, Any]:
    """Cut-outs of two people, twice each, of the one size that these models take."""
    from mmdet.structures import ReIDDataSample

    shape = (256, 128)
    samples = []
    for person in (0, 0, 1, 1) if training else (0,):
        sample = ReIDDataSample(metainfo=_meta(shape))
        sample.set_gt_label(person)
        samples.append(sample)
    images = torch.stack([_image(shape, generator) for _ in samples])
    return {"inputs": images, "data_samples": samples}
