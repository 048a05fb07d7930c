"""Links to Markdown beside the docs are downloads, as those to code are: Sphinx would look for a page of its own."""

from __future__ import annotations

import re
from typing import Any


def linked(_: Any, __: str, source: list[str]) -> None:
    """The text of a page, as Sphinx reads it."""
    source[0] = re.sub(r"\]\(((?:\.\./)+reproductions/\w+\.md)\)", r"](path:\1)", source[0])


def setup(app: Any) -> dict[str, bool]:
    app.connect("source-read", linked)
    return {"parallel_read_safe": True}
