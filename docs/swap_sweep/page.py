"""The text of docs/swap.md, made of what has run so far."""

from __future__ import annotations

import json
import re
from collections import Counter
from importlib.util import find_spec
from typing import Any

from distinct import CACHE, family, is_key
from instead import instead
from shapes import NETS

#: How what went wrong in a training step or a prediction begins.
BAD = ("fault:", "stock")
INSTALLED = CACHE / "installed.json"
LIMIT = 1e-5  # of the proof: the largest difference of any loss or prediction
#: Packages that families of configs ask for, besides the wheels' own.
ASKED = ("mmpretrain", "transformers", "fairscale", "lap", "skimage", "nltk", "sklearn", "timm", "detectron2")


def in_cell(text: str) -> str:
    """A message as the cell of a table, without this machine's folders."""
    text = re.sub(r"the current sys.path is:.*", "...", " ".join(text.split()))
    return re.sub(r"/\S*/site-packages/|Config /\S*/configs/\S* ", "", text).replace("|", "/")


def results(stage: str) -> dict[str, dict[str, Any]]:
    """What a stage has found so far, by the model's key or the family's name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted((CACHE / stage).glob("*.json"))}


def fine(stage: str, result: dict[str, Any]) -> bool:
    """Whether a result leaves nothing to wish for."""
    if stage == "shapes":
        nets = result.get("nets", {})
        return result.get("stock") == "built" and all(_kind(text) == "accepted" for text in nets.values())
    if stage == "train":
        return all(result.get(part, "fault").partition(" ")[0] not in BAD for part in ("step", "predict"))
    return bool(result.get("difference", 1.0) <= LIMIT)


def page(index: dict[str, str]) -> str:
    found = results("shapes")
    models = {name: key for name, key in index.items() if is_key(key)}
    done = {name: found[key] for name, key in models.items() if key in found}
    stock = {name: one for name, one in done.items() if one["stock"] == "built"}
    lines = [
        "# Any config with another backbone",
        "",
        "`mmbackbones swap CONFIG --backbone NAME -o my.py`, or `model = swap(_base_, NAME)` in a config:",
        "the README says what it does. Here is what it did.",
        "",
        "Written by `python docs/swap_sweep`.",
        f"The two wheels hold {len(index)} configs in {len({family(name) for name in index})} families;",
        f"{len(models)} have a model that can be read here. Many differ only in what swap never reads:",
        "losses, number of classes, settings of training and testing, weights, data, schedule. Without these",
        f"there are {len(set(models.values()))} distinct models. Run so far:",
        f"{len(set(models.values()) & found.keys())} of these, {len(done)} of the configs.",
        f"Stock mmdet and mmseg themselves build {len(stock)} of them here.",
        "",
        *_installed(),
        "",
        "| backbone | accepted | refused with a reason | faults | accepted, % |",
        "| --- | --- | --- | --- | --- |",
    ]
    for net in NETS:
        kinds = Counter(_kind(one["nets"].get(net, "fault")) for one in stock.values())
        rate = 100 * kinds["accepted"] / max(1, len(stock))
        lines.append(
            f"| `{net}` | {kinds['accepted']} | {kinds['refused']} | {kinds['fault']} | {rate:.1f} |"
        )
    lines += _what_accepted_means(stock)
    lines += _refused(stock)
    lines += _not_built(index, done)
    lines += _trained({family(name) for name in index})
    lines += _proven()
    return "\n".join(lines) + "\n"


def _kind(text: str) -> str:
    return text.partition(":")[0].partition(",")[0]


def note_installed() -> None:
    """Keep which packages the results that lie there were found with: the next run may be without them."""
    there = {*(json.loads(INSTALLED.read_text()) if INSTALLED.is_file() else ()), *filter(find_spec, ASKED)}
    INSTALLED.write_text(json.dumps(sorted(there)))


def _installed() -> list[str]:
    known = json.loads(INSTALLED.read_text()) if INSTALLED.is_file() else ()
    there = [name for name in ASKED if name in known]
    return [
        f"Installed for the sweep, since families ask for them: {', '.join(there)}.",
        "In place of BERT, which a machine without a network cannot fetch, stands an encoder of its width",
        "with random weights; the sweep is one process of a process group, which MMSyncBN needs.",
    ]


def _what_accepted_means(stock: dict[str, dict[str, Any]]) -> list[str]:
    accepted = [text for one in stock.values() for text in one["nets"].values() if _kind(text) == "accepted"]
    headless = sum(", 0 heads" in text for text in accepted)
    return [
        "",
        "Accepted: the maps behind the neck have the stock model's sizes, and each head that runs on maps",
        "alone returns tensors of the stock head's shapes. The heads of detectors like DETR read queries too",
        f"and are only built: so in {headless} of the {len(accepted)} accepted.",
    ]


def _refused(stock: dict[str, dict[str, Any]]) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for name, one in stock.items():
        for net, result in one["nets"].items():
            if _kind(result) != "accepted":
                reasons.setdefault(result, []).append(f"{name} ({net})")
    lines = ["", "Not accepted, by reason:", ""]
    lines += ["| configs x backbones | first | reason |", "| --- | --- | --- |"]
    for reason, where in sorted(reasons.items(), key=lambda item: -len(item[1])):
        lines.append(f"| {len(where)} | {where[0]} | {in_cell(reason)} |")
    return lines


def _not_built(index: dict[str, str], done: dict[str, dict[str, Any]]) -> list[str]:
    why = {name: text for name, text in index.items() if not is_key(text)}
    why |= {name: one["stock"] for name, one in done.items() if one["stock"] != "built"}
    lacking: dict[str, list[str]] = {}
    for name, text in why.items():
        lacking.setdefault(in_cell(text.removeprefix("cannot be read: "))[:200], []).append(name)
    lines = ["", "Not built here by stock mmdet or mmseg:", ""]
    lines += ["| configs | first | why | to know |", "| --- | --- | --- | --- |"]
    for text, where in sorted(lacking.items(), key=lambda item: -len(item[1])):
        lines.append(f"| {len(where)} | {where[0]} | {text} | {instead(text)} |")
    return lines


def _trained(families: set[str]) -> list[str]:
    found = results("train")
    if not found:
        return []
    others = sorted(families - {family(one["name"]) for one in found.values()})
    good = {key: one for key, one in found.items() if fine("train", one)}
    lines = [
        "",
        "## A training step and a prediction",
        "",
        f"One config of each family with `{next(iter(found.values())).get('net')}`, small images, random",
        "weights: a step of training has a finite loss and a gradient in every trainable parameter (but for",
        "those that have none in the stock model either); then an image of odd sides is predicted.",
        f"{len(found)} of the {len(families)} families have run. Those without a config that is built here",
        f"and accepted with each of the four backbones: {', '.join(others)}.",
        f"{len(good)} do both. Those that do not:",
        "",
        "| config | training step | prediction | to know |",
        "| --- | --- | --- | --- |",
    ]
    for key, one in found.items():
        if key not in good:
            step, predicted = (in_cell(one.get(part, "did not end")) for part in ("step", "predict"))
            lines.append(f"| {one['name']} | {step} | {predicted} | {instead(step + predicted)} |")
    return lines


def _proven() -> list[str]:
    found = results("proof")
    if not found:
        return []
    good = {key: one for key, one in found.items() if fine("proof", one)}
    worst = max((one["difference"] for one in good.values()), default=0.0)
    lines = [
        "",
        "## Nothing but the backbone changed",
        "",
        "Where the base has a ResNet, it is swapped for the same ResNet with copied weights, in double",
        "precision: all losses of a training step and all predictions are compared, relative to their size",
        f"where that is above 1. {len(found)} families have run; in {len(good)} nothing differs by more than",
        f"{LIMIT:g}, the largest difference is {worst:.1e}. Of these the stock model itself, with random",
        "weights, does only one of the two in the following, so that this alone is compared:",
        "",
        "| config | numbers compared | not compared, since stock says |",
        "| --- | --- | --- |",
    ]
    for one in good.values():
        for part, why in one.get("lacking", {}).items():
            lines.append(f"| {one['name']} | {one['values']} | {part}: {in_cell(why)} |")
    if len(good) < len(found):
        lines += ["", "The others:", "", "| config | difference | why |", "| --- | --- | --- |"]
    for key, one in found.items():
        if key not in good:
            difference = one.get("difference")
            shown = "" if difference is None else f"{difference:.1e}"
            lines.append(f"| {one['name']} | {shown} | {in_cell(one.get('error', ''))} |")
    return lines
