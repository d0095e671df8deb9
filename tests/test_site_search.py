"""The site's search takes what a reader types apart as it took the pages: English words, pairs of Chinese."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sphinx", reason="sphinx comes with the extra docs")
from test_leaderboard_page import CHROMIUM, browser, pytestmark  # noqa: E402, F401

DOCS = Path(__file__).parents[1] / "docs"
CONF = f"""
import sys
sys.path.insert(0, {str(DOCS / "_ext")!r})
from site_search import SearchEnglishAndChinese
def setup(app):
    app.add_search_language(SearchEnglishAndChinese)
html_search_language = SearchEnglishAndChinese.lang
"""
PAGES = {
    "index": "Start\n=====\n\n.. toctree::\n\n   freeze\n   export\n",
    "freeze": "微调\n====\n\n用 frozen_stages 冻结主干的前几个阶段。\n",
    "export": "导出\n====\n\nExported networks 不需要 torch。\n",
}


def test_the_site_takes_it() -> None:
    assert 'html_search_language = "english and chinese"' in (DOCS / "conf.py").read_text(encoding="utf-8")


def test_a_page_is_found_by_any_phrase_of_it(browser: Any, tmp_path: Path) -> None:  # noqa: F811
    for name, text in {"conf.py": CONF, **{f"{name}.rst": text for name, text in PAGES.items()}}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    words = [sys.executable, "-m", "sphinx", "-W", "-q", str(tmp_path), str(tmp_path / "html")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = {}
    for query in ("冻结", "主干的前几个", "frozen_stages 冻结", "network", "的阶段"):
        page = browser.new_page()
        page.goto((tmp_path / "html/search.html").as_uri() + f"?q={query}")
        page.wait_for_function("/finished|did not match/.test(document.body.innerText)", timeout=20_000)
        page.wait_for_timeout(100)  # one result more every few milliseconds
        links = page.eval_on_selector_all("#search-results li a", "all => all.map(one => one.pathname)")
        found[query] = sorted({Path(link).stem for link in links})
        page.close()
    for query in ("冻结", "主干的前几个", "frozen_stages 冻结"):
        assert found[query] == ["freeze"], query
    assert found["network"] == ["export"]
    assert found["的阶段"] == []
