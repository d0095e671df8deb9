"""The resolved config of every run: one base, of which only the backbone and the trial's fields change."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, product
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..compose.configs import kind, load_config, resolved
from ..compose.filling import compose
from ..compose.fit import Settings, fit
from ..compose.imports import add_imports
from ..compose.schedule import rate, scale_floors
from ..compose.swap import swapped
from ..engine.precision import use_precision
from ..errors import InputError
from .fingerprint import fingerprint, hash_of
from .plan import Board, rungs_of
from .spec import BoardSpec
from .trials import Trial

#: Whose heads and schedule an architecture's base is made for, before each backbone takes its place.
_STAND_IN = "resnet50"
#: What may differ between the configs of a board: the backbone, channels of what reads it, mean and std of
#: its weights, the trial's optimiser with the floor of its rate, and the seed.
MAY_DIFFER = re.compile(
    r"^model\.(?:\w+\.)*backbone\b|^model\..*channels(?:\.\d+)*$|data_preprocessor\.(?:mean|std)\.\d+$|"
    r"data_preprocessor\.(?:bgr_to_rgb|rgb_to_bgr)$|^optim_wrapper\.optimizer\.|^param_scheduler\.\d+\.eta_min$|"
    r"^randomness\.seed$"
)


@dataclass(frozen=True)
class Resolved:
    """A board with all that its runs need.

    Attributes:
        board: What may be asked for.
        configs: Of each (backbone, trial), without a seed.
        data: Fingerprint of the data.
        spec: Hash of the spec.
        notes: What was decided, one sentence each.
    """

    board: Board
    configs: Mapping[tuple[str, str], Config]
    data: str
    spec: str
    notes: tuple[str, ...]

    def config(self, backbone: str, trial: str, seed: int) -> Config:
        """The config of one run."""
        cfg = copy.deepcopy(self.configs[backbone, trial])
        cfg.randomness = {"seed": seed}
        return cfg


def resolve(
    spec: BoardSpec, folder: Path, progress: Callable[[str, int, int], None] | None = None
) -> Resolved:
    """The configs of all runs of ``spec``, and their keys.

    Args:
        spec: what to compare.
        folder: of the board, where facts of the data are kept.
        progress: as :func:`mmbackbones.compose.fit.fit` takes it.

    Raises:
        InputError: the data cannot be used, a backbone cannot feed the model, or more than the backbone would
            differ between two runs.
    """
    cache = folder.resolve() / "data_cache"  # as the recognised data names it
    base, notes = _base(spec, cache, progress)
    data = fingerprint(spec.data, cache / "fingerprint.json")
    configs = {}
    for backbone in spec.backbones:
        exchanged = _exchanged(base, spec, backbone)
        for trial in spec.trials:
            configs[backbone, trial.name] = _with_trial(exchanged, trial)
    files = {one: hash_of(Path(one)) for one in set(spec.weights.values()) if Path(one).is_file()}
    plain = {name: identity(cfg, spec.data, cache, files) for name, cfg in configs.items()}
    check_equal(plain)
    names = tuple(trial.name for trial in spec.trials)
    seeds = tuple(dict.fromkeys(chain(spec.seeds, *spec.more_seeds.values())))
    keys = {
        (backbone, trial, seed): _hash([plain[backbone, trial], data, seed, *spec.modules.values()])
        for backbone, trial, seed in product(spec.backbones, names, seeds)
    }
    board = Board(
        spec.backbones,
        names,
        seeds,
        keys,
        spec.seconds or math.inf,
        max_latency=spec.max_latency or math.inf,
        length=_length(base),
        own_seeds={net: spec.more_seeds.get(net, spec.seeds) for net in spec.backbones},
    )
    given = {key: value for key, value in spec.marked.value.items() if key != "data"}
    return Resolved(board, configs, data, _hash(given), tuple(notes))


def with_halving(found: Resolved) -> Resolved:
    """``found`` with rungs, see :func:`.plan.rungs_of`.

    Raises:
        InputError: nothing is evaluated before the end.
    """
    cfg = next(iter(found.configs.values()))
    end, every = _length(cfg), cfg.train_cfg.get("val_interval", 1)
    rungs = rungs_of(end, every)
    if not rungs:
        raise InputError(
            f"--halving: nothing is evaluated between a third of the schedule ({end}) and its end, only each "
            f"{every}. Train for longer (`epochs`), or evaluate more often (`options: "
            f"{{train_cfg.val_interval: ...}}`)."
        )
    return replace(found, board=replace(found.board, rungs=rungs))


def _length(cfg: Config) -> int:
    """Epochs or iterations of a whole run."""
    return int(cfg.train_cfg.get("max_epochs") or cfg.train_cfg.max_iters)


def with_probes(found: Resolved) -> Resolved:
    """``found`` with a probe of each net and trial before any is trained."""
    return replace(found, board=replace(found.board, rungs=(0, *found.board.rungs)))


def _base(
    spec: BoardSpec, cache: Path, progress: Callable[[str, int, int], None] | None
) -> tuple[Config, list[str]]:
    """The config that all runs have in common, fitted to data and options."""
    if spec.architecture:
        base, _ = compose(spec.architecture, _STAND_IN, pretrained=spec.pretrained)
    else:
        base = load_config(spec.config)
    settings = Settings(
        data=spec.data,
        epochs=spec.epochs,
        batch_size=spec.batch_size,
        img_scale=spec.image_size or None,
        options=list(spec.options),
        ignore_labels=spec.ignore_labels,
    )
    notes = fit(base, settings, cache_dir=cache, progress=progress)
    if spec.modules:
        add_imports(base, tuple(spec.modules))
    base.optim_wrapper.pop("constructor", None)  # rates by layers or modules of the stand-in
    base.optim_wrapper.pop("paramwise_cfg", None)
    base.auto_scale_lr = {"enable": False, "base_batch_size": spec.batch_size}
    base.default_hooks.checkpoint.update(save_best=None, max_keep_ckpts=2)
    for part in ("train_dataloader", "val_dataloader", "test_dataloader"):
        base[part].persistent_workers = False  # such go on with their random numbers, resumed or not
    if spec.amp:
        notes.append(use_precision(base, spec.amp))
    learning = [note for note in notes if "learning rate" in note]  # the trial says it
    return base, [note for note in notes if note not in learning]


def _exchanged(base: Config, spec: BoardSpec, backbone: str) -> Config:
    """``base`` with another backbone, and nothing else of its own."""
    bare = copy.deepcopy(base)
    wrapper = bare.pop("optim_wrapper")
    try:
        weights = spec.weights.get(backbone)
        cfg, _ = swapped(
            bare,
            backbone,
            pretrained=spec.pretrained or weights is not None,
            weights=weights,
            frozen_stages=spec.frozen_stages,
        )
    except InputError as error:
        raise spec.error_at(backbone, f"backbone '{backbone}' cannot feed {spec.model}: {error}") from error
    cfg.optim_wrapper = wrapper
    return cfg


def _with_trial(cfg: Config, trial: Trial) -> Config:
    cfg = copy.deepcopy(cfg)
    before = rate(cfg)
    cfg.optim_wrapper.optimizer = dict(trial.optimizer)
    if before:
        scale_floors(cfg, float(trial.optimizer["lr"]) / before)
    return cfg


def identity(cfg: Config, data: Path, cache: Path, files: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What a config says, whoever trains it: no folder of this machine is in it, and no seed.

    Args:
        cfg: of a run.
        data: folder of the data.
        cache: folder of what was found out of it.
        files: what stands for other files' names, as hashes of what is in them.
    """

    def plain(node: Any) -> Any:
        if isinstance(node, Mapping):
            return {
                str(key): plain(value) for key, value in sorted(node.items(), key=lambda one: str(one[0]))
            }
        if isinstance(node, (list, tuple)):
            return [plain(value) for value in node]
        if isinstance(node, str) and files and node in files:
            return f"<{files[node]}>"
        if isinstance(node, str) and Path(node).is_absolute():
            for root, name in ((cache, "<cache>"), (data, "<data>")):
                if Path(node).is_relative_to(root):
                    inside = Path(node).relative_to(root)
                    return f"{name}/{inside.name if root == cache else inside.as_posix()}"
        return node

    content = resolved(cfg)
    for key in ("work_dir", "randomness", "experiment_name"):
        content.pop(key, None)
    return dict(plain(content))


def differing(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Dotted names of what is not the same in all configs, with its value in each; None where it lacks.

    The norms of a Swin's maps count as its own: they stand before the neck, as its authors have them.
    """
    flat = [dict(_leaves(_norms_aside(cfg), "")) for cfg in configs]
    names = dict.fromkeys(name for one in flat for name in one)
    found = {name: [one.get(name) for one in flat] for name in names}
    return {name: values for name, values in found.items() if any(v != values[0] for v in values)}


def check_equal(configs: Mapping[tuple[str, str], Mapping[str, Any]]) -> None:
    """Check that nothing but what may differ does.

    Raises:
        InputError: something else does; the message names it and the nets.
    """
    names = list(configs)
    for way, values in differing(list(configs.values())).items():
        if not MAY_DIFFER.search(way):
            odd = next(name for name, value in zip(names, values, strict=True) if value != values[0])
            raise InputError(
                f"The runs would not be equal: {way} is {values[0]!r} for {names[0][0]} and "
                f"{values[names.index(odd)]!r} for {odd[0]}. Leave {odd[0]} out, or take a model that reads "
                f"both alike."
            )


def _norms_aside(cfg: Mapping[str, Any]) -> dict[str, Any]:
    model = dict(cfg["model"])
    if isinstance(model.get("neck"), (list, tuple)):
        necks = [neck for neck in model["neck"] if kind(neck) != "LevelNorm"]
        model["neck"] = necks[0] if len(necks) == 1 else necks or None
    return {**cfg, "model": model}


def _leaves(node: Any, way: str) -> Iterator[tuple[str, Any]]:
    items: Any = None
    if isinstance(node, Mapping) and node:
        items = node.items()
    elif isinstance(node, (list, tuple)) and node:
        items = enumerate(node)
    if items is None:
        yield way, node
        return
    for key, value in items:
        yield from _leaves(value, f"{way}.{key}" if way else str(key))


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]
