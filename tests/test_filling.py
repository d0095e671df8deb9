"""What the table gives a shipped config: model and optimiser by the kind of the backbone."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from cases import SWEEP
from mmengine.config import Config
from torch.nn.modules.batchnorm import _BatchNorm

import mmbackbones
from mmbackbones import InputError
from mmbackbones.compose.configs import load_config
from mmbackbones.compose.filling import compose, fill
from mmbackbones.compose.optimizers import has_batch_norm
from mmbackbones.feature_nets.specs import without_values
from mmbackbones.sources import open_net

FASTER = "mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco"
MASKS = "mmseg::mask2former/mask2former_r50_8xb2-160k_ade20k-512x512"


def one_of_each_kind() -> list[str]:
    """The smallest of each family that is said to have batch norms, and not to; in the sweep all."""
    specs = [mmbackbones.get_spec(name) for name in mmbackbones.list_backbones()]
    if SWEEP:
        return [spec.name for spec in specs]
    largest_first = sorted(specs, key=lambda spec: -spec.params)
    return sorted({(spec.family, has_batch_norm(spec)): spec.name for spec in largest_first}.values())


@pytest.mark.parametrize("name", one_of_each_kind())
def test_what_is_said_to_have_batch_norms_has_them(name: str) -> None:
    spec = mmbackbones.get_spec(name)
    net = without_values(lambda: open_net(spec.source, spec.upstream, 3, spec.arguments)).net
    assert has_batch_norm(spec) == any(isinstance(module, _BatchNorm) for module in net.modules())


def test_optimizer_and_freezing_follow_the_kind_of_the_backbone() -> None:
    cfg, notes = compose("faster-rcnn", "resnet18")
    assert cfg.optim_wrapper.optimizer.type == "SGD"
    assert cfg.model.backbone.frozen_stages == 1
    assert cfg.model.backbone.norm_eval is True
    assert cfg.model.backbone.init_cfg.checkpoint.startswith("timm://resnet18")
    assert "stem and first stage are frozen" in notes[0]
    cfg, _ = compose("faster-rcnn", "resnet18", pretrained=False)
    assert cfg.model.backbone.keys() == {"type"}
    nets = {"swin_tiny": (1.0, 0.05), "convnext_tiny": (0.9, 0.05), "vit_tiny_patch16_224": (0.7, 0.1)}
    for name, (rate, weight_decay) in nets.items():
        cfg, notes = compose("faster-rcnn", name)
        assert cfg.optim_wrapper.optimizer == {
            "type": "AdamW",
            "lr": 1e-4,
            "betas": (0.9, 0.999),
            "weight_decay": weight_decay,
        }
        assert cfg.optim_wrapper.constructor == "mmbackbones.LayerDecayOptimWrapperConstructor"
        assert cfg.optim_wrapper.paramwise_cfg == {"decay_rate": rate, "by": "layer"}
        assert (f"layer-wise decay {rate}" in notes[-1]) == (rate < 1)
    cfg, _ = compose("upernet", "swin_tiny", pretrained=False)
    assert cfg.optim_wrapper.optimizer.type == "AdamW"
    assert "constructor" not in cfg.optim_wrapper


def test_a_base_may_be_another_for_nets_without_batch_norm() -> None:
    cfg, _ = compose("upernet", "resnet18")
    assert (cfg.optim_wrapper.optimizer.type, cfg.train_cfg.max_iters) == ("SGD", 80000)
    cfg, _ = compose("upernet", "convnext_atto")
    assert (cfg.optim_wrapper.optimizer.lr, cfg.train_cfg.max_iters) == (6e-5, 160000)


def test_rates_of_parts_stay_beside_layer_decay() -> None:
    """Mask2Former's backbone learns at a tenth, its queries do not decay; norms of a Swin do not either."""
    cfg, _ = compose("mask2former", "swin_tiny")
    keys = cfg.optim_wrapper.paramwise_cfg.custom_keys
    assert keys.backbone == {"lr_mult": 0.1}
    assert keys.query_embed == {"lr_mult": 1.0, "decay_mult": 0.0}
    assert "norm_decay_mult" not in cfg.optim_wrapper.paramwise_cfg  # layer decay does so by itself


@pytest.mark.parametrize(("model", "base"), [("faster-rcnn", FASTER), ("mask2former", MASKS)])
def test_swap_gives_the_same_optimiser(model: str, base: str) -> None:
    for backbone in ("resnet18", "convnext_atto", "vit_tiny_patch16_224"):
        for pretrained in (True, False):
            cfg, _ = compose(model, backbone, pretrained=pretrained)
            assert cfg.optim_wrapper == mmbackbones.swap(base, backbone, pretrained=pretrained).optim_wrapper


def test_the_rate_of_adamw_is_for_16_images_whatever_the_base_has() -> None:
    from mmbackbones.compose.schedule import base_batch

    cfg, _ = compose("deeplabv3plus", "resnet18")
    assert base_batch(cfg).size == 8  # the base's 4xb2
    cfg, _ = compose("deeplabv3plus", "convnext_atto")
    assert base_batch(cfg).size == 16


def test_a_linear_head_trains_alone() -> None:
    cfg, notes = compose("linear", "vit_tiny_patch16_224")
    assert cfg.model.backbone.frozen_stages == 4
    assert cfg.model.backbone.out_strides == (16,)
    assert (cfg.model.decode_head.in_channels, cfg.model.auxiliary_head) == (192, None)
    assert "constructor" not in cfg.optim_wrapper
    assert "All of it is frozen" in notes[0]


@pytest.mark.parametrize("base", [FASTER, MASKS])
def test_fill_leaves_the_base_as_it_was(base: str) -> None:
    cfg = load_config(base)
    before = copy.deepcopy(cfg.to_dict())
    fill(cfg, "faster-rcnn" if base == FASTER else "mask2former", "swin_tiny")
    assert cfg.to_dict() == before


def test_arguments_win_over_defaults_and_none_takes_them_away() -> None:
    base = load_config(FASTER)
    model, _ = fill(base, "faster-rcnn", "resnet18", frozen_stages=None, norm_eval=False, out_channels=64)
    assert "frozen_stages" not in model.backbone
    assert model.backbone.norm_eval is False
    assert model.neck.out_channels == 64
    model, _ = fill(base, "faster-rcnn", "resnet18", frozen_fraction=1 / 3)
    assert "frozen_stages" not in model.backbone  # which would say the same in another way
    _, wrapper = fill(base, "faster-rcnn", "vgg16", paramwise_cfg={})
    assert wrapper.optimizer.type == "AdamW"
    assert "constructor" not in wrapper
    _, wrapper = fill(base, "faster-rcnn", "resnet18", paramwise_cfg=dict(decay_rate=0.7, by="stage"))
    assert (wrapper.optimizer.type, wrapper.paramwise_cfg.decay_rate) == ("SGD", 0.7)


def test_a_base_without_a_model_gets_the_tables() -> None:
    base = Config(dict(optim_wrapper=dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.1))))
    model, wrapper = fill(base, "retinanet", "resnet18", pretrained=False)
    whole, _ = compose("retinanet", "resnet18", pretrained=False)
    assert model == whole.model
    assert (model.get("_delete_"), wrapper.pop("_delete_")) == (None, True)
    assert wrapper == base.optim_wrapper


@pytest.mark.parametrize(
    ("model", "backbone", "args", "words"),
    [
        ("retina", "resnet18", {}, "'retina' is unknown. Nearest: retinanet"),
        ("retinanet", "resnet1", {}, "Unknown backbone 'resnet1'"),
        ("retinanet", "lenet5", {}, "cannot be fed by 'lenet5'"),
        (
            "retinanet",
            "resnet18",
            dict(pretrained="a7"),
            "neither a file that exists nor a tag of 'resnet18'",
        ),
    ],
)
def test_what_cannot_be_filled_is_refused(
    model: str, backbone: str, args: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        fill(load_config(FASTER), model, backbone, **args)
