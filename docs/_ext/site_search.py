"""The site's search: English words, and Chinese, which writes no spaces between them, by pairs of characters.

Sphinx's own Chinese search wants a dictionary, jieba, of which there are no wheels, and finds no phrase that
is not in it; of pairs any phrase is found whose pairs are all on the page.
"""

from __future__ import annotations

import re

from sphinx.search.en import SearchEnglish

#: A run of Chinese characters, or a word of anything else.
RUN = re.compile("[\u4e00-\u9fff]+|[^\\W\u4e00-\u9fff]+")
#: The same for what a reader types. `var`: Sphinx's script asks whether there is one.
SPLIT_QUERY = r"""
var splitQuery = (query) => {
  const runs = query.match(/[\u4e00-\u9fff]+|(?:(?![\u4e00-\u9fff])[\p{Letter}\p{Number}_])+/gu) || [];
  const pairs = (run) => [...run].slice(1).map((end, i) => run[i] + end);
  return runs.flatMap((run) => (run.length > 2 && /^[\u4e00-\u9fff]/.test(run) ? pairs(run) : [run]));
};
"""


class SearchEnglishAndChinese(SearchEnglish):
    """What Sphinx's index is made with."""

    lang = "english and chinese"  # Sphinx names the stemmer's script by `language_name`, which stays
    js_splitter_code = SPLIT_QUERY

    def split(self, input: str) -> list[str]:  # noqa: A002 - Sphinx's name
        """Words, and of each run of Chinese characters every two that stand side by side."""
        return [part for run in RUN.findall(input) for part in parts(run)]


def parts(run: str) -> list[str]:
    chinese = "\u4e00" <= run[0] <= "\u9fff"
    return [run[i : i + 2] for i in range(len(run) - 1)] if chinese and len(run) > 2 else [run]
