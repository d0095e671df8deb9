"""What a board compares: a short YAML, read into one frozen dataclass; an error names file and line."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..catalog.inputs import resolve
from ..compose.imports import import_nets
from ..errors import InputError, nearest
from ..feature_nets.specs import get_spec
from .choice import choose_backbones, max_latency
from .marks import Marked, read_marked
from .seeds import read_more_seeds, read_seeds
from .trials import Trial, read_trials

#: What is trained, and the figure that a board ranks by.
METRICS = {"detection": "bbox_mAP", "instance": "segm_mAP", "segmentation": "mIoU"}
SCHEDULES = {"1x": 12, "2x": 24}  # epochs, as mmdet counts them
_BUDGET = ("hours", "run_minutes")


@dataclass(frozen=True)
class BoardSpec:
    """What a board compares.

    Attributes:
        data: Folder of the user's data.
        task: A key of :data:`METRICS`.
        architecture: A name of ``mmbackbones config --model``; empty if ``config`` is given.
        config: A config's file or name, whose backbone is exchanged; empty if ``architecture`` is.
        backbones: Names, globs expanded, limits applied, each once.
        epochs: Passes over the training images, the same for all.
        batch_size: Images in a step.
        image_size: ``WIDTHxHEIGHT`` in pixels; empty for the config's own.
        seeds: Of everything random.
        more_seeds: In their place, of nets that get others.
        max_latency: Most ms for one image, measured by the probes; None for no limit.
        trials: The grid that each net goes through on the first seed; the best trial goes on.
        weights: Tag or file that a backbone starts from, instead of its default weights.
        pretrained: Start from the default weights, where a net has any.
        frozen_stages: Of every backbone.
        seconds: Budget of all runs together; None for none.
        run_minutes: Time-out of one run; None for none.
        device: As ``cpu``; empty takes a GPU if there is one.
        amp: Mixed precision, ``bf16`` or ``fp16``; empty for none.
        onnx: Measure latency as ONNX files too, in floating point and in 8 bits.
        ignore_labels: Segmentation: label values of pixels to ignore, beside 255.
        options: ``key=value`` for all configs, as ``--cfg-options``.
        modules: Those that register the user's own networks, and the code of each.
        left_out: Of globs' matches, those left out, with why.
        marked: Where all this stands.
    """

    data: Path
    task: str
    architecture: str
    config: str
    backbones: tuple[str, ...]
    epochs: int
    batch_size: int
    image_size: str
    seeds: tuple[int, ...]
    more_seeds: Mapping[str, tuple[int, ...]]
    max_latency: float | None
    trials: tuple[Trial, ...]
    weights: Mapping[str, str]
    pretrained: bool
    frozen_stages: int
    seconds: float | None
    run_minutes: float | None
    device: str
    amp: str
    onnx: bool
    ignore_labels: tuple[int, ...]
    options: tuple[str, ...]
    modules: Mapping[str, str]
    left_out: Mapping[str, str] = field(compare=False)
    marked: Marked = field(compare=False, repr=False)

    @property
    def model(self) -> str:
        """What every backbone feeds."""
        return self.architecture or self.config

    def error_at(self, backbone: str, message: str) -> InputError:
        """``message`` with the line of a backbone, or of the list."""
        given = self.marked.value["backbones"]
        index = given.index(backbone) if backbone in given else 0
        return self.marked.error(message, "backbones", index)


#: Keys of a spec, as messages list them.
FIELDS = (
    *("data", "task", "architecture", "config", "backbones", "schedule", "epochs", "batch_size"),
    *(
        "image_size",
        "seeds",
        "more_seeds",
        "trials",
        "pretrained",
        "weights",
        "frozen_stages",
        "limits",
        "budget",
    ),
    *("device", "amp", "onnx", "ignore_labels", "options", "import"),
)


def read_spec(path: Path) -> BoardSpec:
    """Read and check a spec; no network is built and no image is read.

    Paths in it are relative to its folder.

    Raises:
        InputError: with file and line: what is wrong, what is allowed.
    """
    marked = read_marked(path)
    marked.check_keys(FIELDS)
    given = marked.value
    for key in ("data", "task", "backbones"):
        if key not in given:
            raise marked.error(f"the spec has no `{key}`.")
    task = marked.one_of(tuple(METRICS), "task")
    data = _data(marked, path)
    architecture, config = _model(marked, task, path)
    batch_size = marked.whole("batch_size", 1, 8)
    modules = _modules(marked, path)
    backbones, left_out = choose_backbones(marked, architecture)
    budget = marked.mapping("budget", _BUDGET)
    hours, run_minutes = (marked.positive(budget.get(key), "budget", key) for key in _BUDGET)
    return BoardSpec(
        data=data,
        task=task,
        architecture=architecture,
        config=config,
        backbones=backbones,
        epochs=_epochs(marked),
        batch_size=batch_size,
        image_size=_image_size(marked),
        seeds=read_seeds(marked),
        more_seeds=read_more_seeds(marked, backbones),
        max_latency=max_latency(marked),
        trials=read_trials(marked, batch_size),
        weights=_weights(marked, path, backbones),
        pretrained=marked.truth("pretrained", True),
        frozen_stages=marked.whole("frozen_stages", -1, -1),
        seconds=hours * 3600 if hours else None,
        run_minutes=run_minutes,
        device=str(given.get("device") or ""),
        amp=marked.one_of(("bf16", "fp16"), "amp") if given.get("amp") else "",
        onnx=marked.truth("onnx", False),
        ignore_labels=tuple(marked.wholes("ignore_labels")),
        options=_options(marked),
        modules=modules,
        left_out=left_out,
        marked=marked,
    )


def _data(marked: Marked, path: Path) -> Path:
    folder = Path(str(marked.value["data"])).expanduser()
    folder = folder if folder.is_absolute() else path.parent / folder
    if not folder.is_dir():
        raise marked.error(f"data: there is no folder '{folder}'. Give the folder of your data set.", "data")
    return folder.resolve()


def _model(marked: Marked, task: str, path: Path) -> tuple[str, str]:
    from ..compose.configs import find_config
    from ..compose.models import MODELS

    given = marked.value
    if bool(given.get("architecture")) == bool(given.get("config")):
        raise marked.error(
            "give one of `architecture` and `config`.", "config" if "config" in given else "architecture"
        )
    if given.get("config"):
        name = str(given["config"])
        beside = path.parent / name
        try:
            find_config(str(beside if beside.is_file() else name))
        except InputError as error:
            raise marked.error(f"config: {error}", "config") from error
        return "", str(beside.resolve() if beside.is_file() else name)
    name = str(given["architecture"])
    if name not in MODELS:
        near = ", ".join(nearest(name, MODELS)) or "none"
        raise marked.error(
            f"architecture '{name}' is unknown. Nearest: {near}. All: {', '.join(MODELS)}.", "architecture"
        )
    wanted = "segmentation" if task == "segmentation" else "detection"
    if MODELS[name].task != wanted:
        fitting = [other for other, row in MODELS.items() if row.task == wanted]
        raise marked.error(
            f"architecture '{name}' is for {MODELS[name].task}, the task is {task}. Take one of "
            f"{', '.join(fitting)}.",
            "architecture",
        )
    return name, ""


def _weights(marked: Marked, path: Path, backbones: tuple[str, ...]) -> dict[str, str]:
    """Tags, addresses and files under ``weights``; a file is relative to the spec."""
    found = {}
    for name, given in marked.mapping("weights", backbones).items():
        beside = path.parent / str(given)
        found[name] = str(beside.resolve() if beside.is_file() else given)
        try:
            resolve(get_spec(name), found[name])
        except InputError as error:
            raise marked.error(f"weights: {error}", "weights", name) from error
    return found


def _modules(marked: Marked, path: Path) -> dict[str, str]:
    """Modules of ``import``, and the code of each: other code makes other runs."""
    given = marked.value.get("import") or []
    if not isinstance(given, list):
        raise marked.error(f"import: {given} is no list; write [my_nets.py].", "import")
    files = [str(path.parent / str(one)) if str(one).endswith(".py") else str(one) for one in given]
    try:
        names = import_nets(files, "import:")
    except InputError as error:
        raise marked.error(str(error), "import") from error
    return {name: Path(str(sys.modules[name].__file__)).read_text(encoding="utf-8") for name in names}


def _epochs(marked: Marked) -> int:
    given = marked.value
    if "schedule" in given and "epochs" in given:
        raise marked.error("`schedule` and `epochs` say the same thing: give one of them.", "epochs")
    if "schedule" in given:
        return SCHEDULES[marked.one_of(tuple(SCHEDULES), "schedule")]
    return marked.whole("epochs", 1, SCHEDULES["1x"])


def _image_size(marked: Marked) -> str:
    size = str(marked.value.get("image_size") or "")
    if size and not re.fullmatch(r"[1-9]\d*x[1-9]\d*", size):
        raise marked.error(f"image_size '{size}': write WIDTHxHEIGHT in pixels, as 640x480.", "image_size")
    return size


def _options(marked: Marked) -> tuple[str, ...]:
    from ..compose.configs import parse_options

    given = marked.value.get("options") or {}
    if not isinstance(given, dict):
        raise marked.error("options must be a mapping, as `train_dataloader.num_workers: 2`.", "options")
    words = []
    for key, value in given.items():
        word = f"{key}={value}"
        try:
            parse_options([word])
        except InputError as error:
            raise marked.error(f"options: {error}", "options", key) from error
        words.append(word)
    return tuple(words)
