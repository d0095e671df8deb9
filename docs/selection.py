"""Writes the selection tables of the READMEs and of ``docs/models.md`` anew: ``python docs/selection.py``.

A table stands between ``<!-- selection NAME -->`` and ``<!-- end selection -->``. The tables are rows of
``mmbackbones.catalog.selection``; ``tests/test_selection.py`` fails when one is old.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from mmbackbones.catalog.selection import AMOUNTS, SCENES, TITLES, Choice, choices

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "README_zh-CN.md", "docs/models.md")
TABLE = re.compile(r"(<!-- selection (\S+) -->\n).*?(<!-- end selection -->)", re.S)
#: Of the READMEs: heads, what the tasks are, and on how many images is fine-tuned.
HEADS = {
    "en": ("task", "scene", "`--scene`", "model", "backbone"),
    "zh": ("任务", "场景", "`--scene`", "模型", "主干"),
}
TASKS = {
    "detection": ("boxes", "目标检测"),
    "instance": ("instance masks", "实例分割"),
    "segmentation": ("segmentation", "语义分割"),
}
TUNED = {
    "hundreds": ("fine-tuning, below {} images", "微调，少于 {} 张图像"),
    "thousands": ("fine-tuning, below {} images", "微调，少于 {} 张图像"),
    "tens-of-thousands": ("fine-tuning, more images", "微调，更多图像"),
}


def linked(task: str) -> str:
    """The table of a task for a page in ``docs/``: a link for each config."""
    lines = ["| scene | model | backbones |", "| --- | --- | --- |"]
    before = ""
    for (scene, model), group in _groups([each for each in choices() if each.task == task]).items():
        links = ", ".join(f"[{each.label}](../configs/{each.config}.py)" for each in group)
        title = _scene(scene, task, 0)
        lines.append(f"| {title if title != before else ''} | {TITLES[model]} | {links} |")
        before = title
    return "\n".join(lines)


def short(language: str) -> str:
    """The table of all scenes for a README: the first choice of each."""
    column = ("en", "zh").index(language)
    heads = HEADS[language]
    lines = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    seen = set()
    for each in choices():
        if (each.task, each.kind, each.scene) in seen:
            continue
        seen.add((each.task, each.kind, each.scene))
        option = "" if each.task == "finetune" else f"`{each.scene}`"
        title = _scene(each.scene, each.task, column)
        cells = (TASKS[each.kind][column], title, option, TITLES[each.model], each.label)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _groups(entries: Iterable[Choice]) -> dict[tuple[str, str], list[Choice]]:
    found: dict[tuple[str, str], list[Choice]] = {}
    for each in entries:
        found.setdefault((each.scene, each.model), []).append(each)
    return found


def _scene(scene: str, task: str, column: int) -> str:
    if scene in TUNED:
        below = {amount.name: amount.below for amount in AMOUNTS}[scene]
        return TUNED[scene][column].format(below)
    title = SCENES[scene][column]
    special = re.split("; in segmentation: |；分割：", title)
    return special[-1] if task == "segmentation" else special[0]


def fresh(text: str) -> str:
    """``text`` with every table as the data has it."""

    def write(match: re.Match[str]) -> str:
        table = short(match[2]) if match[2] in HEADS else linked(match[2])
        return f"{match[1]}\n{table}\n\n{match[3]}"

    return TABLE.sub(write, text)


if __name__ == "__main__":
    for name in PAGES:
        page = ROOT / name
        page.write_text(fresh(page.read_text(encoding="utf-8")), encoding="utf-8")
