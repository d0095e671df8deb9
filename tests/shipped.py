"""Shipped configs for the tests: each read once, with the call of the table that it makes; their names."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import timm
import torch
from mmengine.config import Config

import mmbackbones
from mmbackbones.catalog.selection import UNSTATED, Known, choices
from mmbackbones.compose import filling
from mmbackbones.compose.configs import TASK_OF, config_folder, is_epoch_based, load_config, pipelines, walk
from mmbackbones.compose.models import MODELS
from mmbackbones.engine.runner import Runner
from mmbackbones.tracing.cost import cost

#: `<algorithm>_<backbone>[-d8|-d16][_<neck>]_<schedule>_<data>`, as configs/README.md has it.
NAME = re.compile(
    r"(?P<algorithm>[a-z0-9-]+)"
    r"_(?P<backbone>[a-z0-9-]+?)(?:-d(?P<output_stride>8|16))?"
    r"(?:_(?P<neck>fpn|bifpn|simple-pyramid))?"
    r"_(?:(?P<times>\d)x|(?P<gpus>\d+)xb(?P<batch>\d+)(?P<setting>(?:-[a-z]+)*)-(?P<length>\d+)(?P<unit>e|k))"
    r"_(?P<data>coco|cityscapes|ade20k|voc12aug)(?:-(?P<size>\d+x\d+))?"
)
NECKS = {"FPN": "fpn", "BiFPN": "bifpn", "SimpleFeaturePyramid": "simple-pyramid"}
COCO_IMAGES = 118_000


@dataclass(frozen=True)
class Call:
    """What a shipped config says to the table."""

    base: Mapping[str, Any]
    model: str
    backbone: str
    args: dict[str, Any]


@functools.cache
def read(name: str) -> tuple[Config, Call]:
    """The config, and its one call of :func:`mmbackbones.compose.filling.fill`."""
    calls = []
    fill = filling.fill

    def noting(base: Mapping[str, Any], model: str, backbone: str, **args: Any) -> filling.Filled:
        calls.append(Call(base, model, backbone, args))
        return fill(base, model, backbone, **args)

    with patch.object(filling, "fill", noting):
        cfg = load_config(name)
    (call,) = calls
    return cfg, call


def text(name: str) -> str:
    folder = config_folder("mmbackbones")
    assert folder is not None
    return (folder / f"{name}.py").read_text(encoding="utf-8")


def is_only_the_call(name: str) -> bool:
    """Whether the file says nothing but the table's base and the call of the table."""
    code = re.sub(r"#.*\n", "", text(name))
    call = r"model, optim_wrapper = fill\([^()]*\)\n"
    return (
        bool(re.fullmatch(rf"_base_ = .*\nfrom .* import fill\n\n{call}", code))
        and "model" in read(name)[1].base
    )


def model_of(name: str) -> str:
    """The key of the table that the name of a config begins with."""
    return max((model for model in MODELS if name.rpartition("/")[2].startswith(model)), key=len)


def check_name(name: str) -> None:
    """Each part of the file's name is what the config holds."""
    cfg, call = read(name)
    found = NAME.fullmatch(name.rpartition("/")[2])
    assert found, name
    assert model_of(name) == call.model
    spec = mmbackbones.get_spec(call.backbone)
    words = found["backbone"].split("-")
    backbone = backbone_of(cfg.model)
    if "scratch" in words:
        words.remove("scratch")
    if spec.weights:
        assert ("scratch" in found["backbone"]) == ("init_cfg" not in backbone)
    assert all(word in call.backbone.replace("_", "") for word in words), call.backbone
    stride = backbone.get("output_stride")
    assert found["output_stride"] == (str(stride) if stride else None)
    necks = cfg.model.get("neck") or []
    types = [neck.type.rpartition(".")[2] for neck in (necks if isinstance(necks, list) else [necks])]
    assert [NECKS[kind] for kind in types if kind in NECKS] == ([found["neck"]] if found["neck"] else [])
    check_schedule(found, cfg)
    types = [str(node.get("type")).lower() for _, node in walk(cfg.train_dataloader)]
    assert f"{found['data'].replace('voc12aug', 'pascalvoc')}dataset" in types
    if found["size"]:
        size = tuple(map(int, found["size"].split("x")))
        crops = {n.crop_size for p in pipelines(cfg, "train") for n in p if n.type == "RandomCrop"}
        scales = {n.scale for p in pipelines(cfg, "train") for n in p if n.type == "Resize"}
        assert size in (crops or scales)


def check_schedule(found: re.Match[str], cfg: Config) -> None:
    if found["times"]:  # of 12 epochs, on 8 GPUs with 2 images each
        assert (cfg.train_cfg.max_epochs, cfg.train_dataloader.batch_size) == (12 * int(found["times"]), 2)
        return
    assert cfg.train_dataloader.batch_size == int(found["batch"])
    length, total = int(found["length"]), int(found["gpus"]) * int(found["batch"])
    if cfg.get("auto_scale_lr"):
        assert cfg.auto_scale_lr.base_batch_size == total
    if found["unit"] == "k":
        assert cfg.train_cfg.max_iters == 1000 * length
    elif is_epoch_based(cfg):
        assert cfg.train_cfg.max_epochs == length
    else:
        assert round(cfg.train_cfg.max_iters * total / COCO_IMAGES) == length


def backbone_of(model: Mapping[str, Any]) -> Any:
    """The config of the backbone of this package; inside BiSeNet's, which is a backbone too."""
    backbone = model["backbone"]
    return backbone.get("backbone_cfg", backbone)


def check_entries(name: str) -> None:
    """What the selection tables say of a config is what it holds."""
    cfg, call = read(name)
    init = backbone_of(cfg.model).get("init_cfg")
    for entry in (each for each in choices() if each.config == name):
        assert (call.model, call.backbone) == (entry.model, entry.backbone.name)
        assert TASK_OF[cfg.default_scope] == ("segmentation" if entry.kind == "segmentation" else "detection")
        assert entry.backbone.licence == licence_of(init.checkpoint if init else "")
        if ":" in call.backbone:  # else the catalog has the costs
            check_costs(entry.backbone)
        # data without masks cannot train a model of masks
        assert ("segm" in cfg.val_evaluator.get("metric", [])) == (entry.kind == "instance")


def check_costs(known: Known) -> None:
    """What the tables say of a net outside the catalog is what is counted."""
    spec = mmbackbones.get_spec(known.name)
    assert (known.params, known.has_se) == (spec.params, spec.has_se)
    with torch.device("meta"):
        net = mmbackbones.build(known.name, out_strides=spec.strides)
    assert known.gflops == float(f"{cost(net, 3).madds / 1e9:.4g}")


def licence_of(weights: str) -> str:
    """Of an address, as timm states it; torchvision states none."""
    source, _, name = weights.partition("://")
    return timm.get_pretrained_cfg(name).license if source == "timm" else UNSTATED if source else ""


def parts_of_the_backbone(model: Mapping[str, Any], given: Collection[str]) -> dict[str, Any]:
    """What of a model follows from the backbone, whatever a file says besides (``given``)."""
    keys = ("type", "in_channels", "c1_in_channels", "dilations", "mean", "std", "bgr_to_rgb")
    found = {
        f"{part}.{key}": plain(model[part][key])
        for part in ("backbone", "decode_head", "data_preprocessor")
        for key in keys
        if key in model.get(part, {}) and not {key, f"{part}.{key}"} & {*given}
    }
    defaults = {"frozen_stages", "norm_eval"} if "frozen_fraction" in given else set()
    ours = plain(backbone_of(model))
    skipped = {*given, *defaults}
    return {
        **found,
        **{key: value for key, value in ours.items() if not {key, f"backbone.{key}"} & skipped},
    }


def plain(node: Any) -> Any:
    """``node`` in Python's own dicts, without what says nothing: None, and a base's own scope."""
    if isinstance(node, dict):
        return {key: plain(value) for key, value in node.items() if value is not None and key != "_scope_"}
    return [plain(value) for value in node] if isinstance(node, (list, tuple)) else node


def loss_of_first_batch(runner: Runner) -> torch.Tensor:
    loop = runner.build_train_loop(runner._train_loop)
    model = runner.model.train()
    batch = model.data_preprocessor(next(iter(loop.dataloader)), True)
    return model.parse_losses(model(**batch, mode="loss"))[0]
