"""Finding, reading and overriding configs: files, shipped names, ``mmdet::`` and ``mmseg::`` names."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction

from .. import kept
from ..data.dataset import Task
from ..errors import InputError, nearest
from .class_names import with_names

TASK_OF: dict[str, Task] = {"mmdet": "detection", "mmseg": "segmentation"}
SCOPE_OF = {task: package for package, task in TASK_OF.items()}
# Keys that mmengine's Runner reads from the config although they are no parameters of it.
_RUNNER_KEYS = {
    "compile",
    "custom_imports",
    "find_unused_parameters",
    "model_wrapper_cfg",
    "runner_type",
    "sync_bn",
    "tta_model",
    "tta_pipeline",
}


def config_folder(package: str) -> Path | None:
    """The folder of configs that mmbackbones, mmdet or mmseg ships; None if not installed."""
    name = "mmbackbones.configs" if package == "mmbackbones" else package
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    return folder if package == "mmbackbones" else folder / ".mim" / "configs"


def shipped_names(package: str) -> list[str]:
    """Names of the configs that ``package`` ships, such as ``detection/faster-rcnn_resnet50_fpn_1x_coco``."""
    folder = config_folder(package)
    if folder is None:
        return []
    return sorted(
        path.relative_to(folder).with_suffix("").as_posix()
        for path in folder.glob("*/*.py")
        if path.parent.name not in ("_base_", "__pycache__") and path.name != "__init__.py"
    )


def find_config(name: str) -> Path:
    """The file of a config: a path, a shipped name, ``mmdet::<name>`` / ``mmseg::<name>``, or a module.

    A module, as ``my_package.configs.detr_r50``, is how configs with ``read_base`` are named.

    Raises:
        InputError: there is no such file or name; the message lists the nearest names.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return path
    if (module := _module(name)) is not None:
        return module
    package, _, short = name.rpartition("::")
    package = package or "mmbackbones"
    if package not in ("mmbackbones", *TASK_OF):
        raise InputError(f"Config '{name}': no package '{package}'; use mmbackbones::, mmdet:: or mmseg::.")
    folder = config_folder(package)
    if folder is None:
        raise InputError(f"Config '{name}': {package} is not installed; `pip install mmbackbones[mm]`.")
    short = short.removesuffix(".py")
    if (whole := folder / f"{short}.py").is_file():  # those of _base_ too, which no list shows
        return whole
    known = shipped_names(package)
    for full in known:
        if short == full.rpartition("/")[2]:
            return folder / f"{full}.py"
    packages = [package] if "::" in name else ["mmbackbones", *TASK_OF]
    if (upstream := re.fullmatch(r"(mmdet|mmseg)\.configs\.(?:\w+\.)*(\w+)", name)) is not None:
        near = _near(upstream[2], [upstream[1]]) or [f"{upstream[1]}::<name>"]
        raise InputError(
            f"There is no config '{name}': {upstream[1]}.configs is in its repository, not in its wheel. "
            f"Clone it and give the file, or take one of {', '.join(near)}."
        )
    near = _near(short, packages)
    hint = f"Nearest names: {', '.join(near)}." if near else f"Known names: {', '.join(known[:5])} ..."
    raise InputError(f"There is no config file or name '{name}'. {hint}")


def _module(name: str) -> Path | None:
    """The file of the module ``name``; None if there is no such module inside a package."""
    if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", name):
        return None
    try:
        spec = find_spec(name)
    except ImportError:  # of a package above it
        return None
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def _near(short: str, packages: Sequence[str]) -> list[str]:
    """The names most like ``short``, compared without their folders."""
    by_stem = {
        full.rpartition("/")[2]: full if package == "mmbackbones" else f"{package}::{full}"
        for package in reversed(packages)
        for full in shipped_names(package)
    }
    return [by_stem[stem] for stem in nearest(short.rpartition("/")[2], by_stem)]


def load_config(name: str) -> Config:
    """Read a config (see :func:`find_config`) and check that mmdet or mmseg can run it.

    Raises:
        InputError: not found, unreadable, no config of mmdet or mmseg, or the one it is for is not installed.
    """
    path = find_config(name)
    lacking = [package for package in (*TASK_OF, "mmcv") if find_spec(package) is None]
    hint = f" {', '.join(lacking)} not installed: pip install 'mmbackbones[mm]'." if lacking else ""
    try:
        cfg = Config.fromfile(path)
    except Exception as error:  # a config is a program: it may raise anything
        if type(error) is RuntimeError and not str(error):  # mmengine's, which says nothing
            hint = (
                " In a config with read_base what is imported cannot be called, but for functions of "
                "mmbackbones, as `model = swap(model, ...)`."
            )
        what = f"{type(error).__name__}: {error}."
        if lost := _not_found(error):
            what = (
                f"it imports '{lost}', which is not found. If that is a package, pip install {lost}; if it "
                f"is your own file, start where it lies or add its folder to PYTHONPATH."
            )
        raise InputError(f"Config {path} cannot be read: {what}{hint}") from error
    if Config._is_lazy_import(str(path)):
        cfg = Config(with_names(cfg.to_dict()), filename=str(path))
    scope = SCOPE_OF[task_of(cfg, name)]
    if {scope, "mmcv"} & set(lacking):
        raise InputError(f"Config {path} needs {scope} and mmcv.{hint}")
    if not cfg.get("default_scope"):  # mmdet's own with read_base say None, since their types are classes
        cfg.default_scope = scope
    return cfg


def _not_found(error: BaseException | None) -> str:
    """The package or file for want of which an import failed; mmengine raises other errors above that one."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and error.name:
            return error.name.partition(".")[0]
        error = error.__cause__ or error.__context__
    return ""


def task_of(cfg: Config, name: str = "the config") -> Task:
    """``'detection'`` or ``'segmentation'``, from the scope of the config.

    Raises:
        InputError: the config has no model, or its scope is neither mmdet nor mmseg.
    """
    if not isinstance(cfg.get("model"), dict) or "type" not in cfg.model:
        raise InputError(f"{name} has no `model = dict(type=...)`; give a config of mmdet or mmseg.")
    scope = cfg.get("default_scope") or str(cfg.model["type"]).partition(".")[0]
    if scope not in TASK_OF:
        raise InputError(
            f"{name} is for '{scope}' (default_scope or model type); `default_scope` must be mmdet or mmseg."
        )
    return TASK_OF[scope]


def parse_options(options: Sequence[str]) -> dict[str, Any]:
    """``['optim_wrapper.optimizer.lr=0.01', ...]`` as a dict, values as in mmengine's ``--cfg-options``.

    Raises:
        InputError: an option is not ``key=value``, or its value cannot be read.
    """
    found: dict[str, Any] = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or not re.fullmatch(r"\w+(\.\w+)*", key):
            raise InputError(
                f"--cfg-options '{option}' is not key=value; for example train_dataloader.num_workers=2."
            )
        found[key] = _parse_value(option, value)
    return found


def _parse_value(option: str, value: str) -> Any:
    """As mmengine, whose parser has no end at a dict: what holds one is read as Python."""
    try:
        holds_dict = "{" in value or "dict(" in value
        return ast.literal_eval(value) if holds_dict else DictAction._parse_iterable(value)
    except (ValueError, SyntaxError, AssertionError, RecursionError) as error:
        raise InputError(
            f"--cfg-options '{option}' cannot be read. Write a dict in quotes, as Python has it, such as "
            f"\"model.neck={{'type': 'FPN', 'num_outs': 5}}\"; or key by key, as model.neck.num_outs=5."
        ) from error


def apply_options(cfg: Config, options: dict[str, Any]) -> None:
    """Set ``options`` (dotted keys) in ``cfg``.

    Raises:
        InputError: the first part of a key is neither in the config nor known to mmengine, or a part
            of the way does not exist.
    """
    allowed = {*cfg, *runner_keys()}
    for key in options:
        first = key.partition(".")[0]
        if first not in allowed:
            near = ", ".join(nearest(first, allowed)) or "none"
            raise InputError(f"--cfg-options {key}: the config has no '{first}'. Nearest: {near}.")
    try:
        cfg.merge_from_dict(options)
    except (KeyError, TypeError, IndexError, AssertionError) as error:
        raise InputError(f"--cfg-options {' '.join(options)}: {error}") from error


@cache
def runner_keys() -> frozenset[str]:
    """The top-level keys of a config that mmengine reads; all others are helper variables."""
    return frozenset({*kept.fact("runner", "arguments", _runner_arguments), *_RUNNER_KEYS} - {"self", "cfg"})


def _runner_arguments() -> list[str]:
    from mmengine.runner import Runner  # which imports torch

    return [*inspect.signature(Runner.__init__).parameters]


def resolved(cfg: Config) -> dict[str, Any]:
    """What is to be written of ``cfg``: all that is read, by mmengine's Runner and by mmseg's inference.

    Left out are helper variables of the config file, whose values are where they are used and may differ by
    now. One of them mmseg reads, ``test_pipeline``: it gets the transforms of the test data.
    """
    content = {key: value for key, value in cfg.to_dict().items() if key in runner_keys()}
    if task_of(cfg) == "segmentation" and (test := next(pipelines(content, "test"), None)):
        content["test_pipeline"] = test
    for _, node in walk(content):
        if "_scope_" in node and node["_scope_"] == cfg.get("default_scope"):
            del node["_scope_"]
    return content


def kind(node: Any) -> str:
    """The bare type name of a config node: ``'mmdet.RandomFlip'`` gives ``'RandomFlip'``."""
    return str(node.get("type", "")).rpartition(".")[2] if isinstance(node, dict) else ""


def is_epoch_based(cfg: Config) -> bool:
    """Whether the training loop counts epochs (mmdet's configs) or iterations (mmseg's)."""
    loop = cfg.train_cfg
    return loop.get("by_epoch", kind(loop) != "IterBasedTrainLoop")


def retype(node: Any, kinds: Sequence[str], name: str) -> None:
    """Let every dict inside ``node`` whose type is one of ``kinds`` have the type ``name``, in place."""
    for _, part in list(walk(node)):
        if kind(part) in kinds:
            part["type"] = name


def walk(node: Any, key: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every dict inside ``node`` with the nearest key above it, outermost first."""
    if isinstance(node, dict):
        yield key, node
        for name in list(node):
            yield from walk(node[name], name)
    elif isinstance(node, (list, tuple)):
        for item in node:
            yield from walk(item, key)


def pipelines(cfg: Config | dict[str, Any], *parts: str) -> Iterator[list[dict[str, Any]]]:
    """Every transform pipeline of the loaders ``parts`` ('train', 'val', 'test'), wrappers included."""
    for part in parts:
        for _, node in walk(cfg.get(f"{part}_dataloader") or {}):
            if isinstance(node.get("pipeline"), list):
                yield node["pipeline"]
