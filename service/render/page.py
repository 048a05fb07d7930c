"""A finished result as one HTML page that needs nothing else: no script, no other host."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from service.render.marked_text import STYLE as TEXT_STYLE
from service.render.marked_text import marked
from service.render.picture import caption, target_text, token_explained
from service.render.text import number

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 48rem; margin: 2rem auto; padding: 0 1rem; color: #202024 }
table { border-collapse: collapse; margin: 0 0 1.5rem } caption { text-align: left; font-weight: 600 }
th, td { text-align: left; padding: .2rem 1.2rem .2rem 0; border-bottom: 1px solid #dddde2 }
img { max-width: 100% } code { overflow-wrap: anywhere }
@media (prefers-color-scheme: dark) { body { background: #17171a; color: #ececf0 } }
"""


def page(meta: Mapping[str, Any], picture: bytes | None) -> bytes:
    """The page as UTF-8; `picture` is a PNG, None for a result that has none."""
    title = caption(meta).title
    prediction = [
        (_place(top["index"]), top.get("label") or "", _cell(top.get("score")), _cell(top.get("probability")))
        for top in meta.get("prediction", ())
    ]
    explained = (
        [(target_text(meta), _cell(one["score"]), _cell(one["probability"]))] if (one := meta.get("explained")) else []
    )
    checks = [(c["name"], _cell(c["expected"]), _cell(c["observed"]), _cell(c["gap"])) for c in meta.get("checks", ())]
    parameters = sorted(meta["method"].items())
    body = [
        f"<h1>{escape(title)}</h1>",
        marked(meta["texts"], token_explained(meta)) if meta.get("texts") else "",
        _image(picture, title) if picture is not None and ("pairs" in meta["arrays"] or not meta.get("texts")) else "",
        _table("Prediction", ("class", "label", "score", "probability"), prediction),
        _table("Explained", ("target", "score", "probability"), explained),
        _table("Checks", ("what theory promises", "expected", "observed", "gap"), checks),
        _table(f"Parameters on model {meta['model']['name']}", ("parameter", "value"), parameters),
        f"<p>Explanation <code>{escape(meta['id'])}</code></p>",
    ]
    style = _STYLE + (TEXT_STYLE if meta.get("texts") else "")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{style}</style></head>'
        f"<body>{''.join(body)}</body></html>"
    ).encode()


def _image(picture: bytes, title: str) -> str:
    return f'<p><img alt="{escape(title)}" src="data:image/png;base64,{b64encode(picture).decode()}"></p>'


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    lines = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><caption>{escape(title)}</caption><tr>{head}</tr>{lines}</table>"


def _place(index: int | Sequence[int] | None) -> str:
    """A class by its number, a number of a value by its index."""
    return "" if index is None else str(index) if isinstance(index, int) else ", ".join(map(str, index))


def _cell(value: float | None) -> str:
    return "" if value is None else number(value)
