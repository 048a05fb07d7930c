"""Texts as HTML: each word on the colour of what it counts, which says its number where it is clicked. No script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from service.render.colormaps import colours
from service.render.scale import colormap_for, scaled
from service.render.style import DEFAULT_LOOK
from service.render.text import number
from service.render.tokens import is_dark

STYLE = """
.text { line-height: 2.6 } .text b { font-weight: 400; border-radius: 3px; padding: .15em .1em; color: #17171a }
.text b.dark { color: #fff } .text b.framed { outline: 2px solid }
.text .word { position: relative; cursor: pointer; border-radius: 3px }
.text .special { opacity: .6; font-size: .8em }
.text output { display: none; position: absolute; left: 50%; top: 1.9em; transform: translateX(-50%);
  font-size: .75em; line-height: 1.3; background: #202024; color: #fff; border-radius: 3px; padding: 0 .4em; z-index: 1;
  white-space: nowrap }
.text .word:hover output, .text .word:focus output { display: block }
"""


def marked(texts: Mapping[str, Mapping[str, Any]], framed: int | None = None) -> str:
    """The texts, one paragraph each; what was cut off is said behind it. The token `framed` has a frame."""
    values = np.asarray([token["value"] for told in texts.values() for token in told["tokens"]], np.float32)
    drawn = scaled(values, DEFAULT_LOOK.model_copy(update={"clip": 100.0}))
    shades = colours(drawn.values[None], colormap_for(drawn, DEFAULT_LOOK))[0].tolist()
    parts, at = [], 0
    for name, told in texts.items():
        tokens = told["tokens"]
        head = f"<h2>{escape(name)}</h2>" if len(texts) > 1 else ""
        parts.append(
            f'{head}<p class="text" dir="auto">{_words(told, shades[at : at + len(tokens)], framed)}</p>{_cut(told)}'
        )
        at += len(tokens)
    return "".join(parts)


def _words(told: Mapping[str, Any], shades: Sequence[Sequence[int]], framed: int | None) -> str:
    """Pieces of one word stand together; between words is a space where the text has one."""
    found: list[str] = []
    tokens = told["tokens"]
    at = 0
    while at < len(tokens):
        word, stop = tokens[at]["word"], at + 1
        while word is not None and stop < len(tokens) and tokens[stop]["word"] == word:
            stop += 1
        if found and (tokens[at]["start"] > tokens[at - 1]["end"] or None in (word, tokens[at - 1]["word"])):
            found.append(" ")
        pieces = "".join(_piece(tokens[i], shades[i], i == framed) for i in range(at, stop))
        value = number(sum(token["value"] for token in tokens[at:stop]))
        kind = "word special" if word is None else "word"
        found.append(f'<span class="{kind}" tabindex="0">{pieces}<output>{value}</output></span>')
        at = stop
    return "".join(found)


def _piece(token: Mapping[str, Any], shade: Sequence[int], framed: bool) -> str:
    red, green, blue = shade
    title = escape(number(token["value"]))
    kinds = " ".join(name for name, so in (("dark", is_dark(shade)), ("framed", framed)) if so)
    return (
        f'<b class="{kinds}" style="background:rgb({red},{green},{blue})" title="{title}">'
        f"{escape(token['text'].strip())}</b>"
    )


def _cut(told: Mapping[str, Any]) -> str:
    cut = told.get("truncated")
    return f"<p>The model saw the first {cut['tokens']} of {cut['of']} tokens.</p>" if cut else ""
