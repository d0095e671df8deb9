"""Every config of mmdet and mmseg with four other backbones: what `docs/swap.md` shows.

python docs/swap_sweep.py            # all, goes on where it stopped
python docs/swap_sweep.py --first    # one config of each family
python docs/swap_sweep.py --write    # only write docs/swap.md from what has run so far

For each config the stock model and the four swapped ones are built on the meta device, an image goes
through backbone and neck, the maps through the heads. Accepted means: the maps have the stock model's sizes
and each head that ran returns what the stock one returns, shape by shape. Results lie in build/swap_sweep/,
one file for each config; fifty configs run in a process of their own, with a time limit for each.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import signal
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / "build" / "swap_sweep"
PAGE = ROOT / "docs" / "swap.md"
NETS = ("resnet50", "convnext_tiny", "vit_small_patch16_224", "mobilenetv3_large_100")
SIZE = (512, 640)
SECONDS = 180  # for one config with all nets
GROUP = 50  # configs in one process
HEADS = (
    "rpn_head",
    "bbox_head",
    "decode_head",
    "auxiliary_head",
    "panoptic_head",
    "track_head",
    "mask_head",
    "head",
)


def names() -> list[str]:
    """All configs of the two wheels."""
    from mmbackbones.compose.configs import shipped_names

    return [f"{package}::{name}" for package in ("mmdet", "mmseg") for name in shipped_names(package)]


def first_of_family(every: list[str]) -> list[str]:
    """The first config of each family that is a model."""
    found: dict[str, str] = {}
    for name in every:
        path = CACHE / file_of(name)
        if not (path.is_file() and "no model" in json.loads(path.read_text()).get("stock", "")):
            found.setdefault(name.partition("/")[0], name)
    return list(found.values())


def file_of(name: str) -> str:
    return name.replace("::", "--").replace("/", "--") + ".json"


def shapes(value: Any) -> Any:
    """The shapes of all tensors in a nested value."""
    import torch

    if torch.is_tensor(value):
        return list(value.shape)
    if isinstance(value, dict):
        return {key: shapes(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [shapes(one) for one in value]
    return None


def ran(model: dict[str, Any], scope: str) -> dict[str, Any]:
    """Sizes of the maps behind the neck, and shapes of what each head made of them."""
    try:
        return ran_on("meta", model, scope)
    except Exception:  # operators without a meta kernel
        return ran_on("cpu", model, scope)


def ran_on(device: str, model: dict[str, Any], scope: str) -> dict[str, Any]:
    """As :func:`ran`, on the meta device or with values."""
    import torch

    from mmbackbones.compose.expects import build

    net = build(model, scope, device)
    net.eval()
    net = getattr(net, "student", None) or getattr(net, "detector", None) or net
    channels = model.get("backbone", {}).get("in_channels", 3)
    with torch.no_grad(), torch.device(device):
        maps = net.backbone(torch.zeros(1, channels, *SIZE))
        maps = net.neck(maps) if getattr(net, "neck", None) is not None else maps
        found: dict[str, Any] = {"maps": [list(one.shape[2:]) for one in maps if torch.is_tensor(one)]}
        for key in HEADS:
            head = getattr(net, key, None)
            heads = head if isinstance(head, torch.nn.ModuleList) else [head] if head is not None else []
            for number, one in enumerate(heads):
                found[f"{key}{number}"] = outputs(one, maps, scope)
    return found


def outputs(head: Any, maps: Any, scope: str) -> Any:
    """Shapes that a head makes of the maps; the error as text where it needs more than maps."""
    if scope == "mmdet":
        from mmdet.structures import DetDataSample as Sample
    else:
        from mmseg.structures import SegDataSample as Sample
    meta = dict(
        img_shape=SIZE, batch_input_shape=SIZE, pad_shape=SIZE, ori_shape=SIZE, scale_factor=(1.0, 1.0)
    )
    error = ""
    for arguments in ((maps,), (maps, [Sample(metainfo=meta)])):
        try:
            return shapes(head(*arguments))
        except Exception as raised:  # heads that read proposals, queries, other outputs
            error = error or f"error: {type(raised).__name__}"
    return error


def differing(stock: dict[str, Any] | None, made: dict[str, Any]) -> list[str]:
    """What has other shapes than in the stock model; nothing where that is not built."""
    return [key for key in stock or {} if made.get(key) != stock[key]]


def judge(name: str) -> dict[str, Any]:
    """What became of one config: the stock model, then each net."""
    from mmbackbones import InputError
    from mmbackbones.compose.configs import load_config
    from mmbackbones.compose.swap import swapped

    try:
        cfg = load_config(name)
    except InputError as error:
        lacking = "no model" if "has no `model" in str(error) else f"cannot be read: {error}"
        return {"stock": lacking[:300], "nets": {}}
    scope = str(cfg.default_scope)
    try:
        stock: Any = ran(cfg.model.to_dict(), scope)
        result: dict[str, Any] = {"stock": "built", "nets": {}}
    except Exception as error:
        stock = None
        result = {"stock": f"{type(error).__name__}: {error}"[:300], "nets": {}}
    for net in NETS:
        try:
            new, _ = swapped(cfg, net)
        except InputError as error:
            result["nets"][net] = f"refused: {error}"
            continue
        except Exception as error:
            result["nets"][net] = f"fault: {type(error).__name__}: {error}"[:300]
            continue
        try:
            made = ran(new.model.to_dict(), scope)
        except Exception as error:
            why = f"{type(error).__name__}: {error}"[:250]
            result["nets"][net] = (
                f"fault: not built: {why}" if stock else "swapped; stock is not built either"
            )
            continue
        off = differing(stock, made)
        if off:  # one of them may have run without values, where some operators of heads do not
            stock, made = ran_on("cpu", cfg.model.to_dict(), scope), ran_on("cpu", new.model.to_dict(), scope)
            off = differing(stock, made)
        heads = sum(not str(value).startswith("error") for key, value in made.items() if key != "maps")
        result["nets"][net] = f"fault: other shapes at {off}" if off else f"accepted, {heads} heads ran"
    return result


def work(todo: list[str]) -> None:
    """Judge configs one after the other; a time limit for each."""

    def stop(*_: Any) -> None:
        raise TimeoutError(f"more than {SECONDS} s")

    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    signal.signal(signal.SIGALRM, stop)
    for name in todo:
        signal.alarm(SECONDS)
        try:
            result = judge(name)
        except TimeoutError as error:
            result = {"stock": f"time: {error}", "nets": {}}
        finally:
            signal.alarm(0)
        (CACHE / file_of(name)).write_text(json.dumps({"name": name, **result}, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--first", action="store_true", help="one config of each family")
    parser.add_argument("--write", action="store_true", help="only write the page")
    parser.add_argument("--again", action="store_true", help="judge again what is not accepted")
    parser.add_argument("--work", nargs="*", help=argparse.SUPPRESS)
    given = parser.parse_args()
    CACHE.mkdir(parents=True, exist_ok=True)
    if given.work is not None:
        work(given.work)
        return
    every = names()
    if not given.write:
        todo = [
            name
            for name in (first_of_family(every) if given.first else every)
            if not (path := CACHE / file_of(name)).is_file() or (given.again and "fault" in path.read_text())
        ]
        for start in range(0, len(todo), GROUP):
            sys.stdout.write(f"{start} of {len(todo)}\n")
            sys.stdout.flush()
            command = [sys.executable, __file__, "--work", *todo[start : start + GROUP]]
            subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
    PAGE.write_text(page(every), encoding="utf-8")


def in_cell(text: str) -> str:
    """A message as the cell of a table, without this machine's folders."""
    return " ".join(re.sub(r"/\S*/site-packages/", "", text).replace("|", "/").split())


def page(every: list[str]) -> str:
    """The text of docs/swap.md."""
    done = [json.loads(path.read_text()) for name in every if (path := CACHE / file_of(name)).is_file()]
    models = [one for one in done if one["stock"] != "no model"]
    stock = [one for one in models if one["stock"] == "built"]
    lines = [
        "# Any config with another backbone",
        "",
        "`mmbackbones swap CONFIG --backbone NAME -o my.py`, or `model = swap(_base_, NAME)` in a config:",
        "the README says what it does. Here is what it did.",
        "",
        f"Written by `python docs/swap_sweep.py`: {len(done)} of {len(every)} configs so far, {len(models)}",
        f"of them with a model. Stock mmdet and mmseg themselves build {len(stock)} of these here.",
        "",
        "| backbone | accepted | refused with a reason | faults | accepted, % |",
        "| --- | --- | --- | --- | --- |",
    ]
    for net in NETS:
        kinds = Counter(one["nets"].get(net, "fault").partition(":")[0].partition(",")[0] for one in stock)
        rate = 100 * kinds["accepted"] / max(1, len(stock))
        lines.append(
            f"| `{net}` | {kinds['accepted']} | {kinds['refused']} | {kinds['fault']} | {rate:.1f} |"
        )
    accepted = [text for one in stock for text in one["nets"].values() if text.startswith("accepted")]
    headless = sum(", 0 heads" in text for text in accepted)
    lines += [
        "",
        "Accepted: the maps behind the neck have the stock model's sizes, and each head that runs on maps",
        "alone returns tensors of the stock head's shapes. The heads of detectors like DETR read queries too",
        f"and are only built: so in {headless} of the {len(accepted)} accepted. Not accepted, by reason:",
        "",
    ]
    reasons: dict[str, list[str]] = {}
    for one in stock:
        for net, result in one["nets"].items():
            if not result.startswith("accepted"):
                reasons.setdefault(result, []).append(f"{one['name']} ({net})")
    lines += ["| configs x backbones | first | reason |", "| --- | --- | --- |"]
    for reason, where in sorted(reasons.items(), key=lambda item: -len(item[1])):
        lines.append(f"| {len(where)} | {where[0]} | {in_cell(reason)} |")
    lacking = Counter(in_cell(one["stock"])[:120] for one in models if one["stock"] != "built")
    lines += ["", "Not built here by stock mmdet or mmseg:", "", "| configs | why |", "| --- | --- |"]
    lines += [f"| {count} | {why} |" for why, count in lacking.most_common()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
