"""Sphinx: the site that ``make docs`` writes to ``build/docs``, without a network."""

from __future__ import annotations

import sys
from pathlib import Path

import mmbackbones

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "mmbackbones"
author = "the mmbackbones authors"
copyright = "the mmbackbones authors, Apache 2.0"  # noqa: A001 - Sphinx's word
version = release = mmbackbones.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "site_pages",  # ours: writes the catalog, configs and reference, and leads links to their pages
]
root_doc = "index"
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_ext", "_static", "swap_sweep"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the signature shows the default, the text says the meaning
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False

nitpicky = True
#: Others' objects: their inventories would have to be fetched.
nitpick_ignore_regex = [
    ("py:.*", r"(torch|torchvision|timm|mmengine|mmcv|mmdet|mmseg|numpy|nn|collections|pathlib)\b.*"),
]

html_theme = "furo"
html_title = f"mmbackbones {release}"
html_static_path = ["_static"]
html_js_files = [("tables.js", {"defer": "defer"})]
html_css_files = ["site.css"]
html_copy_source = False
html_search_language = "english and chinese"  # docs/_ext/site_search.py
html_show_sourcelink = False
