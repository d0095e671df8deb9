"""Sweeps the open set, every name of timm and torchvision, and writes ``docs/coverage.md``.

    python docs/coverage.py [--only PATTERN] [--failed] [--jobs N] [--fresh]

Every network is built on the meta device, so that nothing is computed and no memory is filled. It is
held against points 1, 3 and 4 of the contract: maps of exactly ``ceil(size / stride)`` cells, channels and
strides as ``get_spec`` says, one stride alone, a stride that it lacks refused. Results are
kept in ``build/coverage.jsonl``; a sweep that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import math
import multiprocessing
import threading
import warnings
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CACHE = ROOT / "build" / "coverage.jsonl"
PAGE = ROOT / "docs" / "coverage.md"
#: Where the part begins that ``docs/sweep_table.py`` writes.
SWEPT = "# Every check on every name"
SMALL, LARGE = (64, 64), (333, 517)
LIMIT = 120  # seconds for one network
FREE, BOUND, NO, BROKEN = "any size", "up to its size", "refused", "broken"


def names() -> dict[str, str]:
    """Every name of the open set, with its family: timm's module or torchvision's class."""
    import timm
    from torchvision import models

    found = {
        f"timm:{n}": timm.models.model_entrypoint(n).__module__.split(".")[-1] for n in timm.list_models()
    }
    for name in models.list_models(module=models):
        module = models.get_model_builder(name).__module__
        found[f"torchvision:{name}"] = module.split(".")[-1]
    return found


def versions() -> dict[str, str]:
    """What the table was made with."""
    from importlib.metadata import version

    return {name: version(name) for name in ("timm", "torchvision", "torch")}


def check(name: str) -> dict[str, Any]:
    """Verdict on one network: how it takes sizes, its strides, or why it is refused."""
    import mmbackbones
    from mmbackbones import InputError
    from mmbackbones.taps.sizes import SizedNet

    try:
        spec = mmbackbones.get_spec(name)
        net = mmbackbones.build(name).eval()
    except InputError as error:
        return {"verdict": NO, "reason": str(error)}
    strides = tuple(stride for stride in spec.strides if stride in (4, 8, 16, 32))
    facts = {"strides": spec.strides}
    if net.out_strides != strides or net.out_channels != tuple(spec.channels[s] for s in strides):
        return {
            "verdict": BROKEN,
            "reason": f"{net.out_strides} {net.out_channels} against {spec.channels}",
        }
    feature_net = getattr(net._feature_net, "inner", net._feature_net)
    sized = next((t for t in (net._feature_net, feature_net) if isinstance(t, SizedNet)), None)
    bound = sized.plan.bound if sized else None
    reason = _wrong_maps(net, bound or LARGE) or _wrong_selection(name, spec)
    if reason:
        return {"verdict": BROKEN, "reason": reason, **facts}
    if bound:
        return {"verdict": BOUND, "reason": f"{bound[0]}x{bound[1]}", **facts}
    return {"verdict": FREE, "reason": _mended(sized), **facts}


def _mended(sized: Any) -> str:
    """What made a network take any size."""
    if sized is None:
        return ""
    if not sized.plan.resized:
        return f"padded to multiples of {sized.plan.multiple}"
    square = {"no": "", "tables": ", built for squares", "image": ", padded to squares"}[sized.plan.square]
    return f"built anew for each multiple of {sized.plan.multiple}{square}"


def _wrong_maps(net: Any, size: tuple[int, int]) -> str:
    import torch

    device = next(net.parameters()).device
    with torch.no_grad():
        maps = net(torch.empty(1, 3, *size, device=device))
    for fmap, stride, channels in zip(maps, net.out_strides, net.out_channels, strict=True):
        expected = (1, channels, math.ceil(size[0] / stride), math.ceil(size[1] / stride))
        if tuple(fmap.shape) != expected:
            return f"stride {stride} at {size[0]}x{size[1]}: {tuple(fmap.shape)} and not {expected}"
    return ""


def _wrong_selection(name: str, spec: Any) -> str:
    """Point 4, on the finest stride and on one that the network lacks."""
    import mmbackbones

    some = next(stride for stride in spec.strides if stride in (4, 8, 16, 32))
    net = mmbackbones.build(name, out_strides=(some,)).eval()
    if (net.out_strides, net.out_channels) != ((some,), (spec.channels[some],)):
        return f"out_strides=({some},) gives {net.out_strides} {net.out_channels}"
    wrong = _wrong_maps(net, SMALL)
    if wrong:
        return wrong
    lacks = max(spec.strides) * 2
    try:
        mmbackbones.build(name, out_strides=(lacks,))
    except mmbackbones.InputError:
        return ""
    return f"out_strides=({lacks},) is not refused"


def _work(pipe: Connection) -> None:
    """A worker: names in, verdicts out."""
    import torch

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    while True:
        try:
            name = pipe.recv()
        except EOFError:  # the sweep is over
            return
        # RegNet of torchvision cannot be built on the meta device
        found = _guarded(name, "meta")
        pipe.send(_guarded(name, "cpu") if found["verdict"] == BROKEN and "torchvision" in name else found)


def _guarded(name: str, device: str) -> dict[str, Any]:
    import torch

    try:
        with torch.device(device):
            return check(name)
    except Exception as error:  # whatever escapes an upstream is a finding
        return {"verdict": BROKEN, "reason": f"{type(error).__name__}: {error}"}


class Worker:
    """A process that checks names one by one and is replaced when one takes too long."""

    def __init__(self) -> None:
        self.process: Any = None

    def __call__(self, name: str) -> dict[str, Any]:
        if self.process is None:
            context = multiprocessing.get_context("spawn")
            self.pipe, theirs = context.Pipe()
            self.process = context.Process(target=_work, args=(theirs,), daemon=True)
            self.process.start()
        self.pipe.send(name)
        try:
            if self.pipe.poll(LIMIT):
                return self.pipe.recv()
            found = {"verdict": BROKEN, "reason": f"took more than {LIMIT} s"}
        except (EOFError, OSError):
            found = {"verdict": BROKEN, "reason": "the process died"}
        self.process.kill()
        self.process = None
        return found


def read_cache() -> dict[str, dict[str, Any]]:
    """The last result of each name, of the installed versions only."""
    if not CACHE.exists():
        return {}
    lines = [json.loads(line) for line in CACHE.read_text(encoding="utf-8").splitlines()]
    made_with = versions()
    return {line["name"]: line for line in lines if line["versions"] == made_with}


def sweep(todo: dict[str, str], jobs: int, every: Iterable[str]) -> None:
    """Check ``todo``; each result goes to the cache and, with all others, to the page."""
    CACHE.parent.mkdir(exist_ok=True)
    made_with, writing = versions(), threading.Lock()

    def run(share: list[str]) -> None:
        worker = Worker()
        for name in share:
            line = {"name": name, "family": todo[name], **worker(name), "versions": made_with}
            with writing:
                with CACHE.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
                write_page(every)

    shares = [list(todo)[start::jobs] for start in range(jobs)]
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(run, shares))


def write_page(every: Iterable[str]) -> None:
    """The page, from the results so far; the part of ``docs/sweep_table.py``, at its end, stays."""
    results = read_cache()
    text = page([results[name] for name in every if name in results], every)
    _, head, rest = PAGE.read_text(encoding="utf-8").partition(f"\n{SWEPT}")
    PAGE.write_text(text + "\n" + head + rest, encoding="utf-8")


def page(results: list[dict[str, Any]], every: Iterable[str]) -> str:
    """The page, from the results so far of ``every`` name."""
    text = [HEAD.format(**versions())]
    for source in ("timm", "torchvision"):
        lines = [line for line in results if line["name"].startswith(f"{source}:")]
        total = sum(name.startswith(f"{source}:") for name in every)
        if not lines:
            continue
        kinds = Counter(line["verdict"] for line in lines)
        pyramids = sum(_is_pyramid(line) for line in lines)
        works = kinds[FREE] + kinds[BOUND]
        text.append(
            f"## {source}\n\n{len(lines)} of {total} names swept; {works} work "
            f"({100 * works / len(lines):.1f} %): "
            f"{kinds[FREE]} at any size, {kinds[BOUND]} up to the size that they are built for. {pyramids} "
            f"of them have the strides 4, 8, 16, 32, the others those in the table. "
            f"{len(lines) - works} do not work.\n"
        )
        text.append("| family | names | any size | up to its size | refused | strides | how |")
        text.append("| --- | --- | --- | --- | --- | --- | --- |")
        for family in sorted({line["family"] for line in lines}):
            text.append(_row(family, [line for line in lines if line["family"] == family]))
        text.append("")
        failed = [line for line in lines if line["verdict"] not in (FREE, BOUND)]
        if failed:
            text += [f"### What does not work in {source}\n", "| name | reason |", "| --- | --- |"]
            text += [f"| {line['name']} | {_cell(line['reason'])} |" for line in failed]
            text.append("")
    return "\n".join(text)


HEAD = """# Coverage of the open set

`timm:<name>` and `torchvision:<name>` for every name of timm {timm} and torchvision {torchvision} (torch
{torch}): what `python docs/coverage.py` found on the meta device. Tests do not sweep again; they build one
small network of each kind on real tensors.

Any size: maps of exactly `ceil(size / stride)` cells, all of them at 333x517 and one alone at 64x64, channels
and strides known before, a missing stride refused. Up to its size: the network has
weights for each cell of its map (MLP-Mixer) or another fixed length, so an image is padded to the size that
the network is built for and may not be larger; `net_kwargs=dict(img_size=(H, W))` builds it for another,
where the upstream takes that.

Column how: what makes a net of a fixed size take any. "Padded": the image, at its right and lower border, and
the maps are cut. "Built anew": position embeddings and tables of position biases are resampled for the size
of the image; at the size that the net was built for its values are the upstream's own. A plain transformer
has the strides of its learned pyramid.

What does not work: CrossViT has strides of 12 and 17 pixels, Sequencer of 7 and 14; PiT's first convolution
is unpadded, so that its position embedding has 27 cells for 224 pixels; Gemma 4's encoder reads values while
it runs and takes multiples of 48 pixels. torchvision's ViT is in timm.
"""


def _is_pyramid(line: dict[str, Any]) -> bool:
    return line["verdict"] in (FREE, BOUND) and {4, 8, 16, 32} <= set(line["strides"])


def _row(family: str, lines: list[dict[str, Any]]) -> str:
    kinds = Counter(line["verdict"] for line in lines)
    bad = len(lines) - kinds[FREE] - kinds[BOUND]
    strides = sorted({" ".join(map(str, line["strides"])) for line in lines if line.get("strides")})
    how = sorted({line["reason"] for line in lines if line["verdict"] == FREE} - {""})
    cells = (family, len(lines), kinds[FREE], kinds[BOUND], bad, "; ".join(strides), "; ".join(how))
    return "| " + " | ".join(map(str, cells)) + " |"


def _cell(text: str) -> str:
    text = " ".join(text.replace("|", "/").split())
    return text if len(text) <= 240 else text[:237] + "..."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", default="*", help="a shell pattern of names, as 'timm:*beit*'")
    parser.add_argument("--failed", action="store_true", help="check again what did not work")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--fresh", action="store_true", help="start over")
    options = parser.parse_args()
    if options.fresh:
        CACHE.unlink(missing_ok=True)
    every, known = names(), read_cache()
    if options.failed:
        known = {name: line for name, line in known.items() if line["verdict"] in (FREE, BOUND)}
    patterns = options.only.split(",")
    todo = {
        name: family
        for name, family in every.items()
        if name not in known and any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
    }
    rank: Counter[str] = Counter()
    ranks: dict[str, int] = {}
    for name in todo:  # one of each family first: what goes wrong shows early
        rank[todo[name]] += 1
        ranks[name] = rank[todo[name]]
    sweep(dict(sorted(todo.items(), key=lambda item: ranks[item[0]])), options.jobs, every)
    write_page(every)


if __name__ == "__main__":
    main()
