"""Links to Markdown beside the docs are downloads, as those to code are: Sphinx would look for a page of its own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any


def linked(app: Any, page: str, source: list[str]) -> None:
    """The text of a page, as Sphinx reads it; a download has no headings to lead to."""
    docs = Path(app.srcdir).resolve()

    def beside(link: re.Match[str]) -> str:
        inside = (docs / page).parent.joinpath(link[1]).resolve().is_relative_to(docs)
        return link[0] if inside else f"](path:{link[1]})"

    source[0] = re.sub(r"\]\((\.\./[\w./-]+\.md)(?:#[\w-]+)?\)", beside, source[0])


def setup(app: Any) -> dict[str, bool]:
    app.connect("source-read", linked)
    return {"parallel_read_safe": True}
