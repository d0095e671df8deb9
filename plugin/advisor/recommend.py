"""``mmbackbones.recommend``: which model and backbone to train, why, and by which command."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..catalog.selection import SCENES, TASKS, TITLES, Choice, Known, amount_for, choices, scenes_of
from ..errors import InputError, did_you_mean
from . import limits as limits_of
from .limits import Cost, Limits
from .ranking import expect, net_of, order
from .records import Board, Measured, boards, read_records, shipped_records

#: Called with what is done, how much of it, and how much there is.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Answer:
    """One recommendation.

    Attributes:
        model: As ``mmbackbones config --model`` takes it.
        backbone: The catalog's name, ``timm:<name>`` or ``torchvision:<name>``.
        config: The shipped config; empty where none is shipped, and ``commands`` write one.
        commands: What trains it, one after the other.
        evidence: Why: the row of a table, and the records of trainings.
        params: Of the backbone up to its last map.
        gflops: Billions of multiply-adds of the backbone at 224 x 224.
        licence: Of the weights that the config loads; empty where it loads none.
        latency_ms: Of the whole model for one image, where it was asked for; None otherwise.
    """

    model: str
    backbone: str
    config: str
    commands: tuple[str, ...]
    evidence: tuple[str, ...]
    params: int
    gflops: float
    licence: str
    latency_ms: float | None = None


@dataclass(frozen=True)
class Candidate:
    """What can be answered: a row of a table, or a pair of a model and a backbone that a record has."""

    kind: str
    model: str
    known: Known
    config: str
    row: str
    choice: Choice | None = None

    @property
    def name(self) -> str:
        """As messages call it."""
        return f"{TITLES.get(self.model, self.model)} with {self.known.name}"


def recommend(
    task: str,
    *,
    scene: str | None = None,
    images: int | None = None,
    data: str | Path | None = None,
    max_params: float | str | None = None,
    max_gflops: float | None = None,
    max_latency: float | None = None,
    img_scale: str | None = None,
    device: str | None = None,
    no_se: bool = False,
    license: str | None = None,  # noqa: A002 - the word of the command
    records: Sequence[str | Path] = (),
    ignore_labels: Sequence[int] = (),
    top: int = 3,
    progress: Progress | None = None,
) -> list[Answer]:
    """Which model and backbone to train, the best first.

    >>> recommend("detection", scene="edge-int8", max_params="3M")[0].config
    'detection/ssdlite_mobilenetv3-large-minimal_8xb24-600e_coco'

    Limits filter first. What is left is ranked by ``mmbackbones.advisor.ranking.expect`` from the order
    of the selection tables and from records of trainings; where records cannot tell two nets apart, the
    cheaper one comes first.

    Args:
        task: ``detection`` (of boxes), ``instance`` (masks), ``segmentation``, or ``finetune``, which chooses
            by the amount of images, for detection and segmentation.
        scene: ``server``, ``mobile``, ``accuracy``, ``realtime``, ``edge-int8`` or ``foundation``; a task has
            some of them. None takes all, the most accurate first.
        images: How many training images there are.
        data: Instead, the folder of the data: its training images are counted, and nothing in it is changed.
        max_params: Most parameters of the backbone up to its last map, a number or a text as ``"10M"``.
        max_gflops: Most billions of multiply-adds of the backbone at 224 x 224.
        max_latency: Most milliseconds of the whole model for one image, measured here and now, on ``device``
            and at ``img_scale``, from random weights.
        img_scale: ``WIDTHxHEIGHT`` in pixels for ``max_latency``; None for each config's own.
        device: For ``max_latency``; None for a GPU if there is one.
        no_se: No nets with squeeze and excitation.
        license: Only weights with one of these licences, with commas between them.
        records: Folders of leaderboards, whose ``record.json`` count as the user's own measurements.
        ignore_labels: Label values of pixels to ignore in ``data``, beside 255.
        top: At most so many answers.
        progress: Called with what is done, how much of it, and how much there is.

    Raises:
        InputError: a value is unknown or contradicts another, the data or records cannot be read, or nothing
            is left within the limits; the message says which to relax, and by how much.
    """
    _check(task, scene, images, data, top)
    limits = limits_of.checked(max_params, max_gflops, max_latency, no_se, license)
    if max_latency is None and (img_scale or device):
        given = f"--img-scale {img_scale}" if img_scale else f"--device {device}"
        raise InputError(f"{given} is for measuring latency: give --max-latency too, or leave it out.")
    if img_scale is not None:
        from ..compose.scale import parse_scale

        parse_scale(img_scale)  # what is wrong with it is said before anything is measured
    own = [one for folder in records for one in read_records(Path(folder))]
    kinds = _kinds(task)
    if data is not None:
        images, kinds = _count(Path(data), task, ignore_labels, progress)
    found = _candidates(task, scene, images, kinds, own)
    what = task if scene is None else f"{task}, {scene}"
    known = boards([*own, *shipped_records()])
    # Of the trainings that the package ships, those from random weights are told of but rank nothing: what is
    # recommended starts from pretrained ones, and which nets learn fast without them is another question.
    ranked = _rank(found, [board for board in known if board.own or not board.scratch])
    fitting = _within(ranked, limits, what, img_scale, device, top, progress)
    return [_answer(each, cost, known, images, data, img_scale) for each, cost in fitting[:top]]


def _check(task: str, scene: str | None, images: int | None, data: Any, top: int) -> None:
    """Raises InputError for what is unknown, or contradicts another."""
    _one_of("--task", task, TASKS)
    if scene is not None:
        _one_of("--scene", scene, SCENES)
        if task == "finetune":
            raise InputError(
                f"--scene {scene}: fine-tuning goes by the amount of images and has no scenes. Leave it out, "
                f"or give --task detection or --task segmentation."
            )
        if scene not in scenes_of(task):
            raise InputError(
                f"--scene {scene}: there is none for --task {task}, which has {', '.join(scenes_of(task))}. "
                f"Tasks with it: {', '.join(other for other in TASKS if scene in scenes_of(other))}."
            )
    if images is not None and data is not None:
        raise InputError(f"--images {images} and --data {data} both say how many images there are: give one.")
    if images is not None and (isinstance(images, bool) or not isinstance(images, int) or images < 1):
        raise InputError(f"--images {images} must be a whole number from 1 on: of the training images.")
    if task == "finetune" and images is None and data is None:
        raise InputError("--task finetune goes by the amount of images: give --images N, or --data DIR.")
    if top < 1:
        raise InputError(f"--top {top} must be 1 or more.")


def _one_of(option: str, value: str, allowed: Sequence[str] | dict[str, Any]) -> None:
    if value not in allowed:
        hint = did_you_mean(str(value), allowed)
        raise InputError(f"{option} '{value}' is unknown.{hint} Allowed: {', '.join(allowed)}.")


def _kinds(task: str) -> tuple[str, ...]:
    return ("detection", "segmentation") if task == "finetune" else (task,)


def _count(
    data: Path, task: str, ignore_labels: Sequence[int], progress: Progress | None
) -> tuple[int, tuple[str, ...]]:
    """How many training images there are, and what can be trained on them."""
    from ..data.dataset import Task
    from ..data.layouts import recognise

    tries: list[Task] = ["detection", "segmentation"] if task == "finetune" else ["detection"]
    if task == "segmentation":
        tries = ["segmentation"]
    with TemporaryDirectory() as cache:
        for number, kind in enumerate(tries):
            labels = ignore_labels if kind == "segmentation" else ()
            try:
                found = recognise(data, kind, cache_dir=cache, ignore_labels=labels, progress=progress)
            except InputError:
                if number < len(tries) - 1 and data.is_dir():
                    continue
                raise
            if task == "instance" and not found.has_masks:
                raise InputError(
                    f"'{data}' has no instance masks for all objects, which --task instance trains on. Add a "
                    f"'segmentation' to every annotation, or give --task detection."
                )
            return found.train.count, (task,) if task != "finetune" else (kind,)
    raise AssertionError("one of the tries returned or raised")


def _candidates(
    task: str, scene: str | None, images: int | None, kinds: Sequence[str], own: Sequence[Measured]
) -> list[Candidate]:
    """What can be answered, in the order of the tables; without a scene the user's records add theirs."""
    amount = amount_for(images).name if images is not None else None
    tuned = [each for each in choices() if each.task == "finetune" and each.kind in kinds]
    rows = [each for each in tuned if each.scene == amount and scene is None]
    if task != "finetune":
        rows += [each for each in choices() if each.task == task and scene in (None, each.scene)]
    found = [Candidate(each.kind, each.model, each.backbone, each.config, _row(each), each) for each in rows]
    pairs = {(each.model, each.known.name) for each in found}
    for one in own if scene is None else ():
        if one.task in kinds and one.model and (one.model, one.backbone) not in pairs:
            pairs.add((one.model, one.backbone))
            known = Known(one.backbone, one.licence, gflops=one.gflops)
            found.append(Candidate(one.task, one.model, known, "", ""))
    return found


def _row(choice: Choice) -> str:
    if choice.task == "finetune":
        return f"table of fine-tuning, {choice.scene.replace('-', ' ')} of images"
    return f"table of {choice.task}, {choice.scene}"


def _rank(found: Sequence[Candidate], records: Sequence[Board]) -> list[Candidate]:
    """The candidates, best first; those that are equal or tied by cost."""
    rows = max(1, sum(each.choice is not None for each in found) - 1)
    places = [1 - 2 * place / rows if each.choice else 0.0 for place, each in enumerate(found)]
    nets = [net_of(each.known.name, each.known.gflops) for each in found]
    guesses = {net.name: place for net, place in zip(reversed(nets), reversed(places), strict=True)}
    by_kind = {each.kind: expect(nets, each.kind, records, guesses) for each in found}
    expected = [
        replace(by_kind[each.kind][i], score=by_kind[each.kind][i].score + places[i] - guesses[nets[i].name])
        for i, each in enumerate(found)  # the same net in another row has that row's place
    ]
    return [found[i] for i in order(expected, [(net.gflops, i) for i, net in enumerate(nets)])]


def _within(
    ranked: Sequence[Candidate],
    limits: Limits,
    what: str,
    img_scale: str | None,
    device: str | None,
    top: int,
    progress: Progress | None,
) -> list[tuple[Candidate, Cost]]:
    """The first ``top`` candidates within the limits; latency is measured of those that the others leave."""
    costs = [limits_of.cost_of(each.known) for each in ranked]
    left = [i for i in range(len(ranked)) if not limits_of.excess(costs[i], limits)]
    if limits.max_latency is not None:
        from .latency import measure

        fitting = 0
        for done, i in enumerate(left):
            if fitting == top:
                break
            if progress is not None:
                progress("latency", done, len(left))
            latency = measure(ranked[i].model, ranked[i].known.name, ranked[i].config, img_scale, device)
            costs[i] = replace(costs[i], latency=latency)
            fitting += latency <= limits.max_latency
        if left:  # without any, the others' latency is not known, and no limit of it is spoken of
            left = [i for i in left if costs[i].latency is not None]
            ranked, costs = [ranked[i] for i in left], [costs[i] for i in left]
    exceeded = [limits_of.excess(cost, limits) for cost in costs]
    found = [(each, cost) for each, cost, by in zip(ranked, costs, exceeded, strict=True) if not by]
    if not found:
        raise limits_of.nothing_left([each.name for each in ranked], exceeded, what)
    return found


def _answer(
    each: Candidate,
    cost: Cost,
    records: Sequence[Board],
    images: int | None,
    data: str | Path | None,
    img_scale: str | None,
) -> Answer:
    folder = "DIR" if data is None else shlex.quote(str(data))
    rest = f" --img-scale {img_scale}" if img_scale else ""
    evidence = [each.row] if each.row else []
    if each.choice and each.choice.task == "finetune" and images is not None:
        evidence = [f"{each.row}: {images} training images, {amount_for(images).why}"]
    evidence += _measured(each, records)
    if each.config:
        commands: tuple[str, ...] = (f"mmbackbones train {each.config} --data {folder}{rest}",)
    else:
        whole = any(mark in each.model for mark in ("/", "::", "."))  # a config, not a model of the table
        make = f"swap {shlex.quote(each.model)}" if whole else f"config --model {each.model}"
        commands = (
            f"mmbackbones {make} --backbone {each.known.name} --data {folder}{rest} -o my.py",
            f"mmbackbones train my.py --data {folder}",
        )
    return Answer(
        model=each.model,
        backbone=each.known.name,
        config=each.config,
        commands=commands,
        evidence=tuple(evidence),
        params=cost.params,
        gflops=cost.gflops,
        licence=cost.licence,
        latency_ms=cost.latency,
    )


def _measured(each: Candidate, records: Sequence[Board]) -> list[str]:
    """What records say of a candidate: its net's place on each board, and of a lone training the figure."""
    found = []
    own = [board for board in records if board.own and board.standings]
    if own and not any(each.known.name in board.nets and board.task == each.kind for board in own):
        count = f"{len(own)} board{'s' * (len(own) > 1)}"
        found.append(f"not trained on your {count}: ranked there by nets of its family, kind and cost")
    for board in records:
        if each.known.name not in board.nets or board.task != each.kind:
            continue
        runs, means = board.nets[each.known.name], board.means
        if not board.standings and not board.own and runs[0].model != each.model:
            continue
        place = 1 + sum(value > means[each.known.name] for value in means.values())
        seeds = f"mean of {len(runs)} seeds, " if len(runs) > 1 else ""
        among = f"{place}. of {len(means)} nets" if len(means) > 1 else "the only net there"
        where = " ".join(
            filter(None, (runs[0].model, f"on {runs[0].data}" * bool(runs[0].data), runs[0].how))
        )
        found.append(
            f"measured: {runs[0].metric_name} {means[each.known.name]:.4g}, {seeds}{among} of {where} "
            f"({runs[0].source})"
        )
    return found
