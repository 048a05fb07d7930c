"""An attribution over texts as PNG: their tokens in their order, each on the colour of what it counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from service.render.colormaps import Colormap, Values, colours
from service.render.frame import SMALL, WHITE, Caption, framed
from service.render.scale import Scaled, colormap_for, legend, scaled
from service.render.style import Look
from service.render.text import FAINT, INK, fitted, length, number, write

WIDE, LINE, BOX, GAP = 720, 52, 26, 8
SIZE = 15
MOST = 400
_DARK = 140  # below it, letters are white
_EDGE, _WITHIN = (200, 200, 204), 5  # and so much room beside the letters of a piece of a word


@dataclass(frozen=True, slots=True)
class Word:
    """Pieces that are drawn as one, with one number beneath; those from `first` on of the values are theirs.

    One that is `special` is the tokenizer's own, and none of the text.
    """

    pieces: tuple[str, ...]
    first: int
    special: bool = False

    @property
    def widths(self) -> list[int]:
        beside = 7 if len(self.pieces) == 1 else _WITHIN
        found = [int(length(fitted(one, SIZE, WIDE - 40), SIZE)) + 2 * beside for one in self.pieces]
        return found if sum(found) >= 36 else [found[0] + 36 - sum(found), *found[1:]]


def draw_tokens(attribution: NDArray[np.floating], tokens: Sequence[str], look: Look, caption: Caption) -> bytes:
    """A PNG of an attribution (tokens,); beneath each token its number. Of more than 400 the first are drawn."""
    words = [Word((text,), i) for i, text in enumerate(tokens)]
    return _drawn([("", words)], np.asarray(attribution, np.float32), look, caption)


def draw_texts(
    texts: Mapping[str, Mapping[str, Any]], look: Look, caption: Caption, framed_token: int | None = None
) -> bytes:
    """A PNG of texts by name, as answers tell them: words of their pieces, beneath each word its sum.

    `framed_token` is the place of one with a frame.
    """
    found: list[tuple[str, list[Word]]] = []
    values: list[float] = []
    for name, told in texts.items():
        found.append((name if len(texts) > 1 else "", words_of(told["tokens"], len(values))))
        values.extend(token["value"] for token in told["tokens"])
        if (cut := told.get("truncated")) is not None:
            caption = caption.adding(f"{'' if len(texts) == 1 else name + ': '}{cut['tokens']} of {cut['of']} tokens")
    return _drawn(found, np.asarray(values, np.float32), look, caption, framed_token)


def words_of(tokens: Sequence[Mapping[str, Any]], first: int = 0) -> list[Word]:
    """Tokens in a row that belong to one word, as one."""
    found: list[Word] = []
    before = None
    for at, token in enumerate(tokens, first):
        if token["word"] is not None and token["word"] == before:
            found[-1] = Word((*found[-1].pieces, token["text"].strip()), found[-1].first)
        else:
            found.append(Word((token["text"].strip(),), at, token["word"] is None))
        before = token["word"]
    return found


def is_dark(shade: Sequence[int]) -> bool:
    """Whether letters on this colour (red, green, blue) are white."""
    red, green, blue = shade
    return 0.299 * red + 0.587 * green + 0.114 * blue <= _DARK


def _drawn(
    texts: Sequence[tuple[str, list[Word]]],
    values: Values,
    look: Look,
    caption: Caption,
    framed_token: int | None = None,
) -> bytes:
    if len(values) > MOST:
        caption = caption.adding(f"the first {MOST} of {len(values)} tokens")
    drawn = scaled(values, look.model_copy(update={"clip": 100.0}))
    name = colormap_for(drawn, look)
    x, y = 0, 0
    placed: list[tuple[Word, int, int]] = []
    heads: list[tuple[str, int]] = []
    for title, words in texts:
        if title:
            heads.append((title, y + 6 if placed else 4))
            y = heads[-1][1] + SMALL + 2
        at = _places([word for word in words if word.first < MOST])
        placed += [(word, x, y + down) for word, (x, down) in zip(words, at, strict=False)]
        y += at[-1][1] + LINE if at else 0
    body = Image.new("RGB", (WIDE, max(y, LINE)), WHITE)
    pen = ImageDraw.Draw(body)
    for title, down in heads:
        write(pen, (GAP, down), fitted(title, SMALL, WIDE - 2 * GAP), SMALL, ink=FAINT)
    for word, x, y in placed:
        _draw_word(pen, word, (x, y), drawn, name, framed_token)
    return framed(body, caption.adding(legend(drawn, look, name)), drawn, lambda ramp: colours(ramp, name))


def _places(words: Sequence[Word]) -> list[tuple[int, int]]:
    """Where each word lies, broken into lines."""
    found, x, y = [], GAP, 0
    for word in words:
        width = sum(word.widths)
        if x + width > WIDE - GAP and x > GAP:
            x, y = GAP, y + LINE
        found.append((x, y))
        x += width + GAP
    return found


def _draw_word(
    pen: ImageDraw.ImageDraw, word: Word, at: tuple[int, int], drawn: Scaled, name: Colormap, framed_token: int | None
) -> None:
    x, y = at
    own = drawn.values[word.first : word.first + len(word.pieces)]
    for place, piece, value, width in zip(count(word.first), word.pieces, own, word.widths, strict=False):
        shade = colours(np.asarray([value], np.float32), name)[0].tolist()
        edge, thick = (INK, 2) if place == framed_token else (_EDGE, 1)
        pen.rounded_rectangle((x, y + 4, x + width, y + 4 + BOX), 4, fill=tuple(shade), outline=edge, width=thick)
        ink = WHITE if is_dark(shade) else FAINT if word.special else INK
        text = fitted(piece, SIZE, WIDE - 40)
        write(pen, (x + width / 2, y + 4 + BOX / 2), text, SIZE, ink=ink, anchor="mm")
        x += width
    middle = at[0] + sum(word.widths) / 2
    write(pen, (middle, y + 7 + BOX), number(float(own.sum()) * drawn.limit), SMALL - 2, ink=FAINT, anchor="ma")
