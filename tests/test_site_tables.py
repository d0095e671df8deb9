"""Long tables of the site in a browser: they are searched and sorted by docs/_static/tables.js."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_leaderboard_page import browser, pytestmark  # noqa: F401

SCRIPT = Path(__file__).parents[1] / "docs/_static/tables.js"
PARAMS = ["3.4M", "0.272M", "900K", "1.2G", "", "12M to 30M"]


def table(rows: int) -> str:
    cells = [(f"net_{i:02}", PARAMS[i % len(PARAMS)]) for i in range(rows)]
    body = "".join(f"<tr><td><p>{name}</p></td><td><p>{params}</p></td></tr>" for name, params in cells)
    return f"<table><thead><tr><th>name</th><th>params</th></tr></thead><tbody>{body}</tbody></table>"


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:  # noqa: F811
    """A long table, a short one, and one without rows, as Sphinx writes that of a command without options."""
    found = browser.new_page()
    said: list[str] = []
    found.on("pageerror", lambda error: said.append(str(error)))
    empty = "<table><thead><tr><th>name</th></tr></thead></table>"
    found.set_content(f"<article>{empty}{table(30)}{table(5)}</article>")
    found.add_script_tag(path=str(SCRIPT))
    yield found
    found.close()
    assert said == []


def shown(page: Any, column: int) -> list[str]:
    cells = page.query_selector_all(f"table:nth-of-type(2) tbody tr:not([hidden]) td:nth-child({column})")
    return [cell.inner_text() for cell in cells]


def test_only_a_long_table_has_a_field_and_it_leaves_rows_with_all_words(page: Any) -> None:
    assert page.locator("input").count() == 1
    assert page.locator("th.sorts").count() == 2
    page.fill("input", "NET_0 m")
    assert shown(page, 1) == ["net_00", "net_01", "net_05", "net_06", "net_07"]
    assert page.inner_text(".table-search span").strip() == "5 / 30"
    page.fill("input", "")
    assert len(shown(page, 1)) == 30


def test_a_click_on_a_head_sorts_by_size_and_another_turns_it_round(page: Any) -> None:
    page.click("th:has-text('params') >> nth=0")
    sizes = ["0.272M", "900K", "3.4M", "12M to 30M", "1.2G", ""]
    assert shown(page, 2) == [size for size in sizes for _ in range(5)]
    page.click("th:has-text('params') >> nth=0")
    assert shown(page, 2) == [size for size in reversed(sizes) for _ in range(5)]
    assert page.get_attribute("th:has-text('params')", "aria-sort") == "descending"
    page.focus("th:has-text('name') >> nth=1")
    page.keyboard.press("Enter")
    assert shown(page, 1) == sorted(shown(page, 1))
