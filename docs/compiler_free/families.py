"""Which config families of mmdet and mmseg build and run without a compiler: a table, measured.

``python docs/compiler_free`` takes one config of every family folder in the two wheels, builds
its model with random weights and predicts one random image with it, each in a process of its own, and
writes ``docs/compiler-free.md``. What is measured is kept, so that an interrupted run goes on.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

PACKAGES = ("mmdet", "mmseg")
NOT_A_FAMILY = ("_base_",)
TRIES = 4
KNOWN = {
    "no attribute 'loss_cls'": "mmdet 3.3.0's base head reads an attribute that its SSD heads lack: "
    "they cannot predict with any mmcv",
    "inconsistent with step sign": "random weights put boxes outside the image; their masks cannot be pasted",
    "no config with a model": "its files hold data or schedules only",
}
# Among a family's configs, those with none of these are taken first, then the shortest name.
LARGE = re.compile(
    r"101|152|swin-[lb]|convnext-[lbx]|-large|-base|[-_][lx]_|-b[2-9][-_.]|w40|w48|x4d|ms-|tta|test|vit-[lb]|levir"
)


def configs_of(package: str) -> Path:
    """The folder of family folders inside an installed ``package``."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise typer.BadParameter(f"{package} is not installed: pip install 'mmbackbones[mm]'")
    return Path(spec.origin).parent / ".mim" / "configs"


def families(package: str) -> Iterator[str]:
    """The names of ``package``'s families: its folders with configs."""
    for folder in sorted(configs_of(package).iterdir()):
        if folder.name not in NOT_A_FAMILY and any(folder.rglob("*.py")):
            yield folder.name


def candidates(package: str, family: str) -> list[Path]:
    """The configs of a family, the one to try first at the front."""
    files = [f for f in (configs_of(package) / family).rglob("*.py") if "__init__" not in f.name]
    return sorted(files, key=lambda f: (bool(LARGE.search(f.name)), len(f.name), f.name))


def measure(package: str, family: str, seconds: int) -> dict[str, Any]:
    """The first of a family's configs that runs, with what those before it lacked; the first if none runs."""
    failed: list[dict[str, Any]] = []
    for turn in range(TRIES):
        row = measure_one(package, family, turn, seconds)
        if row.get("forward"):
            return row | {"reason": "; ".join(f"{Path(f['config']).stem}: {f['reason']}" for f in failed)}
        if not row["config"]:
            break
        failed.append(row)
    return failed[0] if failed else row


def measure_one(package: str, family: str, turn: int, seconds: int) -> dict[str, Any]:
    """Run ``family_run.py`` on one config; what it reports, or why it did not."""
    command = [sys.executable, str(Path(__file__).with_name("family_run.py")), package, family, str(turn)]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    row = {"package": package, "family": family, "config": ""}
    try:
        done = subprocess.run(
            command,
            cwd=configs_of(package).parent,  # configs name other configs as configs/...
            env=environment,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        return row | {"reason": f"took more than {seconds} s"}
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        return row | {"reason": f"ended with status {done.returncode}: {done.stderr.strip()[-160:]}"}
    return row | json.loads(lines[-1])


def table(rows: list[dict[str, Any]], seconds: int) -> str:
    """The page, in Markdown."""
    done = sum(bool(row.get("forward")) for row in rows)
    second = sum(bool(row.get("forward") and row.get("reason")) for row in rows)
    empty = sum("no config with a model" in row.get("reason", "") for row in rows)
    versions = ", ".join(f"{k} {v}" for k, v in next(r["versions"] for r in rows if "versions" in r).items())
    lines = [
        "# What runs without a compiler",
        "",
        "mmdet and mmseg on mmcv-lite, with the operators of `mmbackbones.ops`. For every family of configs",
        "in the two wheels, one was taken (of the smaller ones that with the shortest name), its model",
        "built at full size with random weights (everything pretrained is left out), and one random image",
        "(or a clip of two frames) predicted through `test_step` on the CPU, post-processing included.",
        f"Where that fails, the next ones are tried, up to {TRIES} in all; the last column says what failed.",
        "",
        f"**{done} of {len(rows) - empty} families build and predict**, {second} of them with another config",
        f"than the first; {empty} more hold no model. Measured with {versions}.",
        "",
        "```",
        f"python docs/compiler_free --seconds {seconds}",
        "```",
        "",
        "made this page. `image` is height x width in pixels; parameters are in millions; `network only`:",
        "the outputs are computed, but not turned into predictions.",
        "",
        "| family | config | parameters | image | builds | predicts | what is missing |",
        "|---|---|--:|---|---|---|---|",
    ]
    for row in rows:
        parameters = f"{row['parameters'] / 1e6:.1f}" if "parameters" in row else ""
        reason = row.get("reason", "").replace("|", "\\|")
        reason += "".join(f" ({why})" for text, why in KNOWN.items() if text in reason)
        marks = ["yes" if row.get(step) else "no" for step in ("builds", "forward")]
        if row.get("network") and not row.get("forward"):
            marks[1] = "network only"
        lines.append(
            f"| {row['package']}/{row['family']} | {Path(row['config']).stem} | {parameters} "
            f"| {row.get('image', '')} | {marks[0]} | {marks[1]} | {reason} |"
        )
    return "\n".join(lines) + "\n"


def main(
    page: Annotated[Path, typer.Option(help="The table to write.")] = Path("docs/compiler-free.md"),
    kept: Annotated[Path, typer.Option(help="What was measured so far.")] = Path("build/families.json"),
    seconds: Annotated[int, typer.Option(help="Time limit for one family.")] = 400,
    only: Annotated[str, typer.Option(help="Measure families whose name matches, again.")] = "",
    again: Annotated[bool, typer.Option(help="Measure again what failed before.")] = False,
) -> None:
    """Measure every family that is not measured yet, and write the table.

    Example: python docs/compiler_free --only 'mmdet/(atss|fcos)$'
    """
    rows = json.loads(kept.read_text()) if kept.exists() else {}
    todo = [(package, family) for package in PACKAGES for family in families(package)]
    console = Console(stderr=True)
    with Progress(console=console) as progress:
        bar = progress.add_task("families", total=len(todo))
        for package, family in todo:
            name = f"{package}/{family}"
            progress.update(bar, description=name)
            known = name in rows and not (again and not rows[name].get("forward"))
            if re.search(only, name) if only else not known:
                rows[name] = measure(package, family, seconds)
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_text(json.dumps(rows, indent=1))
                console.print(name, "yes" if rows[name].get("forward") else rows[name].get("reason"))
            progress.advance(bar)
    page.write_text(
        table([rows[f"{p}/{f}"] for p, f in todo if f"{p}/{f}" in rows], seconds), encoding="utf-8"
    )
