"""How Sphinx builds the documentation: `make docs`, whose warnings are errors."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "Whence"
author = "The Whence authors"
copyright = "The Whence authors"  # noqa: A001  Sphinx reads it by this name
version = release = installed("whence")

extensions = ["myst_parser", "building.beside", "building.mathml", "building.method_pages"]
exclude_patterns = ["building"]
html_theme = "furo"
html_title = "Whence"
html_static_path: list[str] = []
html_show_sphinx = False
html_math_renderer = "mathml"
templates_path: list[str] = []

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["misc.highlighting_failure"]  # its console lexer knows no quotes over several lines
