"""torchvision's detectors and segmentors here: the same boxes and label maps from the same weights."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from cases import SWEEP
from mmdet.datasets import CocoDataset
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmseg.datasets import PascalVOCDataset
from mmseg.structures import SegDataSample
from PIL import Image
from shipped import read
from torch import Tensor, nn
from torchvision import models
from torchvision.io import write_png
from torchvision.transforms._presets import SemanticSegmentation
from typer.testing import CliRunner

from mmbackbones.cli import app
from mmbackbones.engine.load import load_predictor
from mmbackbones.errors import InputError
from mmbackbones.weights.torchvision_models import categories, checkpoint_of, convert, recognise
from mmbackbones.weights.torchvision_rows import ROWS, Row

DETECTORS = [row for row in ROWS if row.config.startswith("detection/")]
SEGMENTORS = [row for row in ROWS if row not in DETECTORS]
CLASSES = 4  # as torchvision counts them, a detector's with the background
PROPOSALS = 40  # of the 1000 that a two-stage detector looks at
#: What ResNet-101 has more than ResNet-50 are equal layers, and what these two have others have too.
ONLY_SWEPT = re.compile(r".*resnet101|fasterrcnn_resnet50_fpn_v2|maskrcnn_resnet50_fpn")
VALUES = [row for row in ROWS if SWEEP or not ONLY_SWEPT.fullmatch(row.name)]


def name_of(row: Row) -> str:
    return row.name


def their_net(row: Row, **args: Any) -> nn.Module:
    """Without values."""
    aux = {"aux_loss": True} if row.optional else {}
    with torch.device("meta"):
        return models.get_model(row.name, weights=None, weights_backbone=None, **aux, **args)


def their_random_net(row: Row, image: Tensor) -> nn.Module:
    """With weights from chance, under which the output of every layer varies over ``image``."""
    fixed = row.name.startswith("ssd")
    args = {"min_size": image.shape[1], "max_size": image.shape[2]} if row in DETECTORS and not fixed else {}
    if "rcnn" in row.name:
        args["rpn_post_nms_top_n_test"] = PROPOSALS
    net = their_net(row, num_classes=CLASSES, **args).to_empty(device="cpu").eval()
    if fixed:
        net.transform.fixed_size = tuple(image.shape[:0:-1])
    torch.manual_seed(0)
    hooks = []
    for name, module in net.named_modules():
        if not list(module.parameters(recurse=False)):
            continue
        norm = not isinstance(module, (nn.Conv2d, nn.Linear))
        nn.init.uniform_(module.weight, *((0.5, 1.5) if norm else (-1, 1)))
        if module.bias is not None:
            nn.init.normal_(module.bias, std=0.2 if norm else 0.01)
        settle = functools.partial(settled, std=0.2 if "bbox" in name else 1.0)
        hooks.append(module.register_forward_hook(settle))
    net([image] if row in DETECTORS else image[None])
    for hook in hooks:
        hook.remove()
    if row in DETECTORS and not row.classes[0].background:  # a sigmoid, that no training raises
        bias = net.get_parameter("head.classification_head.cls_logits.bias").data
        bias.unflatten(0, (row.classes[0].anchors, CLASSES))[:, 0] = -50
    return net


def settled(layer: nn.Module, inputs: tuple[Tensor], output: Tensor, std: float) -> Tensor:
    """What a layer gives when it is called first, brought to a deviation: a norm by its statistics."""
    if not hasattr(layer, "settled"):
        layer.settled = True
        if isinstance(layer, nn.BatchNorm2d):
            layer.num_batches_tracked.zero_()
            variance, mean = torch.var_mean(inputs[0], (0, 2, 3), correction=0)
            layer.running_mean.copy_(mean if inputs[0][0, 0].numel() > 1 else 0 * mean)
            layer.running_var.copy_(variance if inputs[0][0, 0].numel() > 1 else 0 * variance + 1)
        elif not isinstance(layer, nn.GroupNorm):
            layer.weight.data *= std / output.std()
        output = layer(*inputs)
    return output


def our_net(row: Row, num_classes: int | None = None) -> nn.Module:
    """Without values."""
    cfg = read(row.config)[0]
    if num_classes is not None:
        cfg = Config(cfg.to_dict())
        cfg.merge_from_dict({f"model.{place}": num_classes for place in row.num_classes})
        if "rcnn" in row.name:
            cfg.model.test_cfg.rpn.max_per_img = PROPOSALS
    init_default_scope(cfg.default_scope)
    with torch.device("meta"):
        return MODELS.build(cfg.model)


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_every_weight_has_its_place(row: Row) -> None:
    theirs = their_net(row).eval()
    state = theirs.state_dict()
    assert recognise(state) is row
    kept = categories(row)
    converted = convert(row, state, list(kept.values()))
    ours = our_net(row)
    expected = ours.state_dict()
    assert {k: v.shape for k, v in converted.items()} == {k: v.shape for k, v in expected.items()}
    dataset = read(row.config)[0].test_dataloader.dataset.type
    names = {"CocoDataset": CocoDataset, "PascalVOCDataset": PascalVOCDataset}[dataset].METAINFO["classes"]
    assert tuple(kept) == tuple(names)
    if "rcnn" in row.name:
        assert ours.rpn_head.test_cfg.max_per_img == theirs.rpn.post_nms_top_n()


def both(row: Row, image: Tensor) -> tuple[nn.Module, nn.Module]:
    theirs = their_random_net(row, image.float()).to(image.dtype)
    ours = our_net(row, CLASSES - row.classes[0].first).to(image.dtype).to_empty(device="cpu").eval()
    ours.load_state_dict(convert(row, theirs.state_dict()))
    return theirs, ours


@pytest.mark.parametrize("row", [row for row in VALUES if row in DETECTORS], ids=name_of)
@torch.no_grad()
def test_the_same_boxes(row: Row) -> None:
    """In double precision: the last bits of single precision order near ties of a random net."""
    size = (32, 48) if row.name.startswith("ssd") else (64, 96)  # depthwise convolutions in double are slow
    image = torch.rand(3, *size, dtype=torch.double)
    theirs, ours = both(row, image)
    (expected,) = theirs([image])
    batch, _ = theirs.transform([image])
    meta = dict(img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0))
    found = ours.predict(batch.tensors, [DetDataSample(metainfo=meta)])[0].pred_instances
    assert len(expected["boxes"]) >= 20
    assert expected["scores"].std() > 0.01
    assert len(expected["labels"].unique()) >= 2
    check_same(found, expected)


def check_same(found: Any, expected: dict[str, Tensor]) -> None:
    """Each of their boxes is one of ours, and there are no others."""
    assert len(found.bboxes) == len(expected["boxes"])
    ours = (found.bboxes, found.scores[:, None], 1e3 * found.labels[:, None] + 1e3)
    theirs = (expected["boxes"], expected["scores"][:, None], 1e3 * expected["labels"][:, None])
    difference, which = torch.cdist(torch.cat(theirs, 1), torch.cat(ours, 1), p=float("inf")).min(1)
    assert difference.max() < 1e-5
    assert len(which.unique()) == len(which)
    if "masks" in expected:
        masks = expected["masks"][:, 0]
        clear = (masks - 0.5).abs() > 1e-6
        assert 0.001 < masks.gt(0.5).float().mean() < 0.99
        assert torch.equal(found.masks[which] & clear, masks.gt(0.5) & clear)


@pytest.mark.parametrize("row", [row for row in VALUES if row in SEGMENTORS], ids=name_of)
@torch.no_grad()
def test_the_same_label_map(row: Row) -> None:
    """At a size that is no multiple of the stride."""
    size = (33, 49)
    image = torch.randn(3, *size)
    theirs, ours = both(row, image)
    given, kept = theirs(image[None]), []
    (expected,) = given["out"]
    ours.backbone.register_forward_hook(lambda *called: kept.append(called[-1]))
    (found,) = ours.predict(image[None], [SegDataSample(metainfo=dict(img_shape=size, ori_shape=size))])
    assert len(expected.argmax(0).unique()) > 1
    torch.testing.assert_close(found.seg_logits.data, expected, rtol=0, atol=1e-5)
    if row.optional:
        auxiliary = F.interpolate(ours.auxiliary_head(kept[0]), size, mode="bilinear")
        torch.testing.assert_close(auxiliary, given["aux"], rtol=0, atol=1e-5)
    best, second = expected.topk(2, dim=0).values
    clear = best - second > 1e-4
    assert clear.float().mean() > 0.99
    assert torch.equal(found.pred_sem_seg.data[0][clear], expected.argmax(0)[clear])


@torch.no_grad()
def test_a_file_through_the_command(tmp_path: Path) -> None:
    """From the image file on: a segmentor of the user's own classes sees what torchvision's sees."""
    (row,) = (row for row in ROWS if row.name == "lraspp_mobilenet_v3_large")
    path, out = tmp_path / "image.png", tmp_path / "ours.pth"
    pixels = torch.rand(3, 6, 8).mul(255).byte().repeat_interleave(20, 1).repeat_interleave(20, 2)
    write_png(pixels, str(path))
    seen = SemanticSegmentation(resize_size=520)(Image.open(path))
    theirs = their_random_net(row, seen[:, ::8, ::8])
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    done = CliRunner().invoke(
        app, ["convert", str(tmp_path / "theirs.pth"), "-o", str(out), "--classes", "a,b,c,d"]
    )
    assert done.exit_code == 0, done.output
    assert "torchvision's lraspp_mobilenet_v3_large, 4 classes" in done.output
    option = "model.decode_head.num_classes=4"
    assert f"predict {row.config} {out} photo.jpg --cfg-options {option}" in done.output
    cfg = Config(read(row.config)[0].to_dict())
    cfg.model.decode_head.num_classes = 4
    predictor = load_predictor(cfg, out, "cpu", 0.0)
    assert predictor.classes == ["a", "b", "c", "d"]
    logits = F.interpolate(theirs(seen[None])["out"], pixels.shape[1:], mode="bilinear")
    expected = logits[0].argmax(0)
    assert len(expected.unique()) > 1
    found = torch.from_numpy(predictor(path).label_map.astype("int64"))
    assert (found == expected).float().mean() > 0.99


def empty_file(row: Row, path: Path, **args: Any) -> Path:
    with torch.device("meta"):
        net = models.get_model(row.name, weights=None, weights_backbone=None, **args)
    torch.save({name: torch.zeros(()).expand(v.shape) for name, v in net.state_dict().items()}, path)
    return path


def test_what_a_file_lacks_is_said(tmp_path: Path) -> None:
    (row,) = (row for row in ROWS if row.name == "deeplabv3_mobilenet_v3_large")
    found = checkpoint_of(empty_file(row, tmp_path / "a.pth"))
    assert (found.row, found.options) == (row, ("model.auxiliary_head=None",))
    assert found.notes == ("The file has no auxiliary head, which only trains.",)
    assert found.checkpoint["meta"]["dataset_meta"]["classes"][:2] == ("background", "aeroplane")
    path = empty_file(row, tmp_path / "b.pth", num_classes=3, aux_loss=True)
    with pytest.raises(InputError, match="has 3 classes, the background included, and there are no names"):
        checkpoint_of(path)
    options = checkpoint_of(path, ["sky", "road", "car"]).options
    assert options == ("model.decode_head.num_classes=3", "model.auxiliary_head.num_classes=3")
