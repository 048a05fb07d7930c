"""An explanation as a notebook shows it: its picture, what was predicted, and its checks."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

ROWS = 5


def shown(document: Mapping[str, Any], picture: bytes | None) -> str:
    """HTML that stands alone: the picture is in it, and the colours are those of the page around it."""
    target = document.get("target") or {}
    of = target.get("label", target.get("index"))
    title = f"{document['method']['name']} on {document['model']['name']}" + ("" if of is None else f", target {of}")
    image = f'<img alt="{escape(title)}" src="data:image/png;base64,{b64encode(picture).decode()}">' if picture else ""
    predicted = [_predicted(one) for one in document.get("prediction", ())[:ROWS]]
    checks = [
        (one["name"], f"{one['expected']:.4g}", f"{one['observed']:.4g}", f"{one['gap']:.2g}")
        for one in document.get("checks", ())[:ROWS]
    ]
    tables = _table(("predicted", "score", "probability"), predicted)
    tables += _table(("check", "expected", "observed", "gap"), checks)
    return f'<div><div><b>{escape(title)}</b></div>{image}<div style="display:flex;gap:2em">{tables}</div></div>'


def _predicted(one: Mapping[str, Any]) -> tuple[str, str, str]:
    named = one.get("label") or one.get("index")
    probability = one.get("probability")
    return (
        "" if named is None else str(named),
        f"{one['score']:.4g}",
        "" if probability is None else f"{probability:.3f}",
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    top = "".join(f"<th>{escape(one)}</th>" for one in head)
    below = "".join("<tr>" + "".join(f"<td>{escape(one)}</td>" for one in row) + "</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{below}</table>"
