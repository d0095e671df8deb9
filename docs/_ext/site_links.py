"""Links of the repository's pages, led to the pages of the site."""

from __future__ import annotations

import os
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)#\s]+)")
#: Where the site has a file that lies outside docs/.
ELSEWHERE = {
    "README.md": "index.md",
    "README_zh-CN.md": "zh/index.md",
    ".github/CONTRIBUTING.md": "reference/contributing.md",
    ".github/SECURITY.md": "reference/security.md",
    ".github/CODE_OF_CONDUCT.md": "reference/conduct.md",
    "configs/README.md": "configs/index.md",
}


def place(path: Path) -> Path | None:
    """Where in ``docs/`` the site has what the repository has at ``path``; None if nowhere."""
    name = path.relative_to(ROOT).as_posix()
    if name in ELSEWHERE:
        return DOCS / ELSEWHERE[name]
    if config := re.fullmatch(r"configs/([a-z]+)/(.+)\.py", name):
        return DOCS / "configs" / config[1] / f"{config[2]}.md" if config[1] != "_base_" else None
    if folder := re.fullmatch(r"configs/([a-z]+)/README\.md", name):
        return DOCS / "configs" / folder[1] / "index.md"
    return path if path.is_relative_to(DOCS) else None


def led(text: str, origin: Path, page: Path) -> str:
    """``text``, which was written for the folder ``origin``, as the file ``page`` of ``docs/`` has it.

    Links to files that the site has no page of become links to those files, which Sphinx then offers to
    download.
    """

    def lead(match: re.Match[str]) -> str:
        target = Path(os.path.normpath(origin / match[1]))
        if not target.is_relative_to(ROOT):
            return match[1]
        return Path(os.path.relpath(place(target) or target, page.parent)).as_posix()

    return LINK.sub(lead, text)
