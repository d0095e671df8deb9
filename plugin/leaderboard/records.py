"""One folder per run with its ``record.json``: the only state of a board, from which all else is derived."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from ..errors import InputError

FORMAT = 1
RECORD = "record.json"

#: Why a run failed, and what to do about it.
CAUSES = {
    "oom": "Give it more memory, or a smaller batch or image size for all nets.",
    "nan": "Add a trial with a lower learning rate, or clip gradients, for all nets.",
    "signal": "Something outside ended it. Run it again.",
    "timeout": "Give `run_minutes` more time, or take fewer epochs for all nets.",
    "weights": "Fetch the weights while there is a network, or write `pretrained: false`.",
    "config": "Mend what the message names in the spec.",
    "error": "Read the log. If the net is at fault, take it out of the spec.",
}


@dataclass(frozen=True)
class Record:
    """What is known of one run that has ended.

    Attributes:
        key: Hash of the resolved config, the data and the seed; also the name of its folder.
        spec: Hash of the spec that asked for it.
        data: Fingerprint of the data.
        backbone: As the spec has it.
        trial: Name of the trial.
        seed: Of everything random.
        rung: How far it was trained, counted in rungs; 0 without halving.
        state: Whether it was trained to its end; or it pauses, see :attr:`.plan.Board.rungs`.
        cause: Of a failure, one of :data:`CAUSES`.
        message: Of a failure.
        log_tail: Of a failure, the last lines of its log.
        next_step: Of a failure.
        task: ``detection``, ``instance`` or ``segmentation``.
        model: Architecture or config.
        epochs: Of the schedule.
        batch_size: Images in a step.
        image_size: ``WIDTHxHEIGHT`` in pixels, or empty for the config's own.
        metric_name: As ``bbox_mAP`` (0..1) or ``mIoU`` (percent).
        metric: Of the last epoch, or at the pause; None of a failure.
        history: Each evaluation: ``epoch`` or ``iteration``, and its figures.
        by_class: AP or IoU of each class.
        params: Of the whole model.
        macs: Multiply-adds of the backbone for one image of this size.
        train_seconds_per_iter: Median; on the CPU of the processor, summed over threads.
        seconds: Of the whole run, those before a pause included.
        memory_mib: Peak in training.
        latency_ms: Wall time of one image, batch 1: ``p50``, ``p95``, ``runs``; of it ``pre`` and ``post``,
            before and after the network.
        onnx: In onnxruntime on the CPU: ``ms`` and ``int8_ms``, ``mb`` and ``int8_mb``; or the ``reason``
            why it does not export; empty where it was not asked for.
        energy_joules: Of the training, by the GPU's counter; None: not measured.
        checkpoint_bytes: Size of the weights' file.
        forecast: Of a probe before it started: ``seconds`` and ``memory_mib`` of the training, ``latency_ms``
            of one image, ``params`` of the model, ``transfer`` (see :mod:`.transfer`; absent: not measured);
            and of the spec ``max_latency_ms``, the limit if there is one.
        versions: Of Python and packages.
        device: ``cpu`` or the GPU's name.
        commit: Of this package, where it is a git checkout.
        threads: Of torch.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        weights: ``tag``, ``pretraining`` data and ``licence`` where known; empty for random ones.
        ended: When, in UTC.
    """

    key: str
    spec: str
    data: str
    backbone: str
    trial: str
    seed: int
    state: Literal["ok", "failed", "paused"]
    rung: int = 0
    cause: str = ""
    message: str = ""
    log_tail: str = ""
    next_step: str = ""
    task: str = ""
    model: str = ""
    epochs: int = 0
    batch_size: int = 0
    image_size: str = ""
    metric_name: str = ""
    metric: float | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    by_class: dict[str, float | None] = field(default_factory=dict)
    params: int | None = None
    macs: int | None = None
    train_seconds_per_iter: float | None = None
    seconds: float | None = None
    memory_mib: float | None = None
    latency_ms: dict[str, float] = field(default_factory=dict)
    onnx: dict[str, Any] = field(default_factory=dict)
    energy_joules: float | None = None
    checkpoint_bytes: int | None = None
    forecast: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    device: str = ""
    commit: str = ""
    threads: int | None = None
    precision: str = ""
    weights: dict[str, str] = field(default_factory=dict)
    ended: str = ""
    format: int = FORMAT


def write_atomically(path: Path, text: str) -> None:
    """Write ``text`` so that ``path`` is there whole or as it was, whenever the power goes."""
    part = path.with_name(f"{path.name}.part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name too
    finally:
        os.close(folder)


def write_record(folder: Path, record: Record) -> Path:
    """Write ``record.json`` into the folder of a run."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / RECORD, json.dumps(asdict(record), indent=1) + "\n")
    return folder / RECORD


def read_record(path: Path) -> Record:
    """Read a ``record.json``.

    Raises:
        InputError: damaged, or written by another version in another format.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        known = {one.name for one in fields(Record)}
        if content.get("format") != FORMAT or not content.keys() <= known:
            raise InputError(
                f"{path} has format {content.get('format')}, this version reads {FORMAT}. Take another "
                f"folder."
            )
        return Record(**content)
    except (ValueError, TypeError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is no record: {error}. Delete its folder to run it again.") from error


def read_records(board: Path) -> dict[str, Record]:
    """All records below the folder of a board, by key; a run without one has not ended.

    Raises:
        InputError: one cannot be read.
    """
    found = {}
    for path in sorted((board / "runs").glob(f"*/{RECORD}")):
        record = read_record(path)
        found[record.key] = record
    return found


def set_aside(board: Path, key: str) -> None:
    """Take a record away, so that its run is asked for again; the old one stays beside it."""
    path = run_folder(board, key) / RECORD
    number = 1
    while (kept := path.with_name(f"record.failed-{number}.json")).exists():
        number += 1
    os.replace(path, kept)


def run_folder(board: Path, key: str) -> Path:
    """Where the run with this key is."""
    return board / "runs" / key


def log_event(board: Path, event: str, **facts: Any) -> None:
    """Append one line to ``events.jsonl``, on the disk when this returns; a torn last line is ended first."""
    path = board / "events.jsonl"
    line = json.dumps({"time": now(), "event": event, **facts}) + "\n"
    with path.open("ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            line = line if file.read(1) == b"\n" else "\n" + line
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def without_times(record: Record) -> Mapping[str, Any]:
    """What two undisturbed runs of the same key have in common: all but times and memory."""
    times = ("train_seconds_per_iter", "seconds", "latency_ms", "onnx", "ended")
    measured = (*times, "memory_mib", "energy_joules", "forecast")
    return {key: value for key, value in asdict(record).items() if key not in measured}
