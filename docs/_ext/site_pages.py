"""Sphinx extension: writes the pages that are made of the package's own data before Sphinx reads them.

They lie in ``docs/``, in folders that git ignores, since Sphinx reads nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import catalog_pages
import config_pages
import map_pictures
import reference_pages
from site_links import DOCS, led
from site_search import SearchEnglishAndChinese

FOLDERS = ("catalog", "configs", "reference")


def pages() -> dict[str, str]:
    """The text of every generated page by its name below ``docs/``."""
    return {**catalog_pages.pages(), **config_pages.pages(), **reference_pages.pages()}


def write(found: dict[str, str], docs: Path = DOCS) -> None:
    """Write what has changed, and remove what is no page any more."""
    for folder in FOLDERS:
        for path in (docs / folder).rglob("*.*"):
            if path.relative_to(docs).as_posix() not in found:
                path.unlink()
    for name, text in found.items():
        path = docs / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


def write_all() -> None:
    """Pages, and the pictures of the smallest backbone of each family."""
    write(pages())
    map_pictures.write(members[0] for members in catalog_pages.families().values())


def lead_links(app: Any, docname: str, source: list[str]) -> None:
    """Links to the repository's files, where the site has pages of them."""
    path = Path(app.env.doc2path(docname))
    if path.suffix == ".md" and docname.partition("/")[0] not in FOLDERS:
        source[0] = led(source[0], path.parent, path)


def say_language(app: Any, pagename: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Readers and screen readers go by the language that a page says it has."""
    if pagename.startswith("zh/"):
        context["language"] = "zh-CN"


def setup(app: Any) -> dict[str, Any]:
    app.add_search_language(SearchEnglishAndChinese)
    app.connect("config-inited", lambda app, config: write_all())
    app.connect("source-read", lead_links)
    app.connect("html-page-context", say_language)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
