"""torchvision's detectors brought here: the same boxes from the same weights, and refusals."""

from __future__ import annotations

import copy
import os
from pathlib import Path

import pytest
import torch
from mmdet.datasets import CocoDataset
from mmdet.structures import DetDataSample
from originals import randomise_statistics
from PIL import Image
from torch import Tensor, nn
from torchvision.models import detection
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_iou
from torchvision.transforms.functional import to_tensor
from typer.testing import CliRunner

from mmbackbones.cli import app
from mmbackbones.compose.configs import load_config
from mmbackbones.compose.scale import set_scale
from mmbackbones.data.shapes import write_shapes
from mmbackbones.engine.load import load_predictor
from mmbackbones.engine.predictions import Predictor
from mmbackbones.errors import InputError
from mmbackbones.heads import TorchvisionAnchorGenerator
from mmbackbones.weights.torchvision_models import categories, checkpoint_of, convert, recognise
from mmbackbones.weights.torchvision_rows import ROWS

(ROW,) = (row for row in ROWS if row.name == "fasterrcnn_resnet50_fpn")
SHORT, LONG = 92, 157  # 640 x 480 becomes 122 x 92 there, and 123 x 92 by mmdet's rounding


@pytest.fixture(scope="module")
def images(root: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Blood cells, or drawn shapes where there are none."""
    shared = Path(os.environ.get("MMBACKBONES_SHARED", root.parent / "shared"))
    found = sorted((shared / "data/bccd/images").glob("*.jpg"))
    if not found:
        folder = write_shapes(tmp_path_factory.mktemp("images") / "shapes", train=3, val=1, size=(160, 120))
        found = sorted(path for path in folder.rglob("*") if path.suffix in (".png", ".jpg"))
    assert len(found) >= 3
    return found[:3]


@pytest.fixture(scope="module")
def theirs() -> nn.Module:
    """torchvision's detector for COCO with random weights; no eps in the batch norms, as with its file."""
    torch.manual_seed(0)
    sizes = dict(min_size=SHORT, max_size=LONG)
    model = detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, **sizes)
    randomise_statistics(model.backbone, torch.randn(2, 3, 96, 160))
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.eps = 0.0
    unused = sorted(set(range(1, 91)) - set(categories(ROW).values()))
    assert len(unused) == 10
    model.roi_heads.box_predictor.cls_score.bias.data[unused] = -50  # never seen in a training
    return model.eval()


@pytest.fixture(scope="module")
def state(theirs: nn.Module) -> dict[str, Tensor]:
    """As torchvision's file has it: frozen batch norms count no batches."""
    return {k: v for k, v in theirs.state_dict().items() if not k.endswith("num_batches_tracked")}


@pytest.fixture(scope="module")
def ours(state: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """Our detector after `mmbackbones convert`."""
    folder = tmp_path_factory.mktemp("torchvision")
    torch.save(state, folder / "theirs.pth")
    done = CliRunner().invoke(app, ["convert", str(folder / "theirs.pth"), "-o", str(folder / "ours.pth")])
    assert done.exit_code == 0, done.output
    assert "80 classes" in done.output
    cfg = load_config(ROW.config)
    set_scale(cfg, (LONG, SHORT))
    predictor = load_predictor(cfg, folder / "ours.pth", "cpu", 0.0)
    assert tuple(predictor.classes) == CocoDataset.METAINFO["classes"]
    return predictor


def labels_of(found: dict[str, Tensor]) -> Tensor:
    """Their numbers of classes as ours."""
    return torch.tensor([list(categories(ROW).values()).index(int(label)) for label in found["labels"]])


@torch.no_grad()
def test_the_same_boxes_of_the_same_tensor(theirs: nn.Module, ours: Predictor, images: list[Path]) -> None:
    """In double precision: the last bits of single precision order near ties of a random net."""
    theirs, ours_model = copy.deepcopy(theirs).double(), copy.deepcopy(ours.model).double()
    for path in images:
        pixels = to_tensor(Image.open(path).convert("RGB")).double()
        (expected,) = theirs([pixels])
        batch, _ = theirs.transform([pixels])
        (height, width), (high, wide) = batch.image_sizes[0], pixels.shape[1:]
        meta = dict(
            img_shape=(height, width), ori_shape=(high, wide), scale_factor=(width / wide, height / high)
        )
        found = ours_model.predict(batch.tensors, [DetDataSample(metainfo=meta)])[0].pred_instances
        assert len(expected["boxes"]) == 100
        assert expected["scores"].std() > 0.01
        assert torch.equal(found.labels, labels_of(expected))
        torch.testing.assert_close(found.scores, expected["scores"], rtol=0, atol=1e-4)
        resized = 1e-4 * wide / width  # 1e-4 px of what the net sees
        torch.testing.assert_close(found.bboxes, expected["boxes"], rtol=0, atol=resized)


@torch.no_grad()
def test_the_same_boxes_of_the_same_file(theirs: nn.Module, ours: Predictor, images: list[Path]) -> None:
    for path in images:
        pixels = to_tensor(Image.open(path).convert("RGB"))
        packed = ours.pipeline({"img_path": str(path), "img_id": 0})
        batch = dict(inputs=[packed["inputs"]], data_samples=[packed["data_samples"]])
        seen = ours.model.data_preprocessor(batch)["inputs"]
        torch.testing.assert_close(seen, theirs.transform([pixels])[0].tensors, rtol=0, atol=1e-4)
        (expected,), found = theirs([pixels]), ours(path)
        same = torch.from_numpy(found.labels) == labels_of(expected)[:, None]
        overlap, which = (box_iou(expected["boxes"], torch.from_numpy(found.boxes)) * same).max(1)
        shared = overlap > 0.99
        assert len(overlap) == 100
        assert shared.float().mean() >= 0.97  # random nets have near ties, that the last bits decide
        difference = expected["scores"] - torch.from_numpy(found.scores)[which]
        assert difference[shared].abs().max() < 1e-3


def test_anchors() -> None:
    theirs = detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None).rpn.anchor_generator
    image = torch.zeros(1, 3, 96, 160)
    sizes = [(24, 40), (12, 20), (6, 10), (3, 5), (2, 3)]  # 48 and 53 px between the cells of the last
    maps = [torch.zeros(1, 1, *size) for size in sizes]
    expected = theirs(ImageList(image, [(96, 160)]), maps)[0]
    found = torch.cat(TorchvisionAnchorGenerator().grid_priors(sizes, device="cpu"))
    assert torch.equal(found, expected)


def test_names_of_old_files(state: dict[str, Tensor]) -> None:
    def old(name: str) -> str:
        name = name.replace("rpn.head.conv.0.0.", "rpn.head.conv.")
        if ".inner_blocks." in name or ".layer_blocks." in name:
            name = name.replace(".0.weight", ".weight").replace(".0.bias", ".bias")
        return name

    renamed = {old(name): value for name, value in state.items()}
    assert "backbone.fpn.inner_blocks.0.weight" in renamed
    assert recognise(renamed) is ROW
    expected, found = convert(ROW, state), convert(ROW, renamed)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_classes_and_eps(state: dict[str, Tensor]) -> None:
    bias = "roi_heads.box_predictor.cls_score.bias"
    boxes = "roi_heads.box_predictor.bbox_pred.weight"
    before = {name: value.clone() for name, value in state.items()}
    found = convert(ROW, state, keep=[3, 1], eps=0.25)
    assert torch.equal(found["roi_head.bbox_head.fc_cls.bias"], state[bias][[3, 1, 0]])
    assert torch.equal(
        found["roi_head.bbox_head.fc_reg.weight"], torch.cat([state[boxes][12:16], state[boxes][4:8]])
    )
    variance = state["backbone.body.bn1.running_var"]
    assert torch.equal(found["backbone.bn1.running_var"], variance + 0.25)
    assert torch.equal(convert(ROW, state)["backbone.bn1.running_var"], variance)
    counted = {**state, "backbone.body.bn1.num_batches_tracked": torch.tensor(7)}
    assert torch.equal(convert(ROW, counted)["backbone.bn1.running_var"], variance + 1e-5)
    assert all(torch.equal(value, before[name]) for name, value in state.items())


OTHERS = {
    "fasterrcnn_mobilenet_v3_large_fpn": "but it also has backbone.body.0.0.weight",
    "keypointrcnn_resnet50_fpn": "The nearest is fasterrcnn_resnet50_fpn, but it also has roi_heads.keypoint",
}


@pytest.mark.parametrize(("name", "words"), OTHERS.items())
def test_other_detectors_are_refused(name: str, words: str) -> None:
    with torch.device("meta"):
        other = getattr(detection, name)(weights=None, weights_backbone=None)
    with pytest.raises(InputError, match=f"no weights of a model of torchvision that converts.*{words}"):
        recognise(other.state_dict())


def test_files_that_do_not_fit(state: dict[str, Tensor], tmp_path: Path) -> None:
    without = {name: value for name, value in state.items() if not name.startswith("rpn.")}
    with pytest.raises(InputError, match="but it has no rpn_head.rpn_conv"):
        recognise(without)
    path = tmp_path / "mine.pth"
    few = {k: v[: 16 if "bbox_pred" in k else 4] if "box_predictor" in k else v for k, v in state.items()}
    torch.save({"model": few}, path)
    with pytest.raises(InputError, match="has 3 classes beside the background, and there are no names"):
        checkpoint_of(path)
    with pytest.raises(InputError, match="and there are 2 names"):
        checkpoint_of(path, ["red", "white"])
    converted = checkpoint_of(path, ["red", "white", "platelet"])
    assert converted.checkpoint["meta"]["dataset_meta"]["classes"][1] == "white"
    assert converted.options == ("model.roi_head.bbox_head.num_classes=3",)
    wide = {**state, "backbone.body.layer1.0.conv1.weight": torch.zeros(128, 64, 1, 1)}
    torch.save(wide, path)
    with pytest.raises(InputError, match=r"conv1\.weight is \(128, 64, 1, 1\) instead of \(64, 64"):
        checkpoint_of(path)
    with pytest.raises(InputError, match=r"no checkpoint file .*gone\.pth"):
        checkpoint_of(tmp_path / "gone.pth")


def test_weights_by_name(state: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = detection.FasterRCNN_ResNet50_FPN_Weights
    monkeypatch.setattr(weights, "get_state_dict", lambda self, **_: state)  # nothing is fetched
    out = tmp_path / "new" / "faster.pth"
    name = "torchvision://fasterrcnn_resnet50_fpn.COCO_V1"
    done = CliRunner().invoke(app, ["convert", name, "-o", str(out)])
    assert done.exit_code == 0, done.output
    written = torch.load(out, weights_only=True)
    assert len(written["state_dict"]["roi_head.bbox_head.fc_cls.bias"]) == 81


def test_the_command_writes_over_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out.pth"
    out.write_text("mine")
    done = CliRunner().invoke(app, ["convert", "gone.pth", "-o", str(out)])
    assert isinstance(done.exception, InputError)
    assert "exists. Choose another name, or add --force" in str(done.exception)
    assert out.read_text() == "mine"
