"""Texts in pictures and on pages: each word on the colour of its number, which can be read."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.render.marked_text import marked
from service.render.page import page
from service.render.picture import draw
from service.render.style import Look
from service.render.tokens import words_of
from workers.contract import encode_npy


def text(*tokens: tuple[str, int | None, float], truncated: Any = None) -> dict[str, Any]:
    """Tokens of one letter each at their place."""
    at, told = 0, []
    for letters, word, value in tokens:
        told.append({"text": letters, "start": at, "end": at + len(letters), "word": word, "value": value})
        at += len(letters) + (word is not None and len(letters) > 2)
    return {"tokens": told, "words": [], "truncated": truncated}


ONE = text(("[CLS]", None, 0.0), ("un", 0, 1.0), ("kind", 0, 2.0), ("<b>", 1, -3.0), ("[SEP]", None, 0.0))


def meta(**texts: Any) -> dict[str, Any]:
    return {
        "id": "0" * 64, "method": {"name": "lrp"}, "model": {"name": "toy"}, "target": {"index": 1}, "texts": texts,
        "kind": "attribution",
    }  # fmt: skip


def drawn(told: dict[str, Any], **look: Any) -> NDArray[np.int_]:
    arrays = [encode_npy(np.zeros(5, np.float32))] * 2
    return np.asarray(Image.open(io.BytesIO(draw("heatmap", told, arrays, Look(**look)))).convert("RGB"), int)


def test_pieces_of_a_word_are_one_word() -> None:
    found = words_of(ONE["tokens"])
    assert [(word.pieces, word.first, word.special) for word in found] == [
        (("[CLS]",), 0, True), (("un", "kind"), 1, False), (("<b>",), 3, False), (("[SEP]",), 4, True),
    ]  # fmt: skip


def test_words_are_drawn_in_the_colour_of_their_sign() -> None:
    picture = drawn(meta(input=ONE))[:, :-110]
    red = picture[..., 0] - picture[..., 2] > 60
    blue = picture[..., 2] - picture[..., 0] > 60
    assert red.any()
    assert blue.any()
    assert np.argwhere(red)[:, 1].max() < np.argwhere(blue)[:, 1].min()  # the word that speaks for it comes first
    alone = drawn(meta(input=ONE), polarity="positive")[:, :-110]
    assert not (alone[..., 2] - alone[..., 0] > 60).any()


def test_the_token_that_is_explained_has_a_frame() -> None:
    told = {**meta(input=ONE), "target": {"kind": "element", "index": [0, 2], "label": "verb", "token": "kind"}}
    apart = (drawn(told) != drawn(meta(input=ONE))).any(axis=2)[60:]
    places = np.argwhere(apart)[:, 1]
    left, right = places.min(), places.max()
    assert min(apart[:, left].sum(), apart[:, right].sum()) > 15  # two uprights, around the second piece
    assert 100 < left < right < 200
    assert re.findall(r'<b class="[a-z ]*framed"[^>]*>([^<]*)', marked({"input": ONE}, 2)) == ["kind"]


def test_two_texts_are_drawn_one_below_the_other() -> None:
    assert drawn(meta(one=ONE, other=ONE)).shape[0] > drawn(meta(one=ONE)).shape[0] + 40


def test_a_page_says_a_words_number_without_a_script_and_escapes_what_was_sent() -> None:
    html = marked({"input": ONE})
    assert re.findall(r"<output>([^<]*)</output>", html) == ["0", "3", "-3", "0"]
    assert "&lt;b&gt;" in html
    assert "<script" not in html
    assert html.count('tabindex="0"') == 4
    assert html in page(meta(input=ONE), None).decode()


@pytest.mark.parametrize("names", [("input",), ("one", "other")])
def test_what_was_cut_off_is_said(names: tuple[str, ...]) -> None:
    cut = text(("le", 0, 1.0), truncated={"tokens": 1, "of": 9, "from": 2})
    assert marked(dict.fromkeys(names, cut)).count("first 1 of 9 tokens") == len(names)


def test_four_hundred_tokens_are_drawn_and_the_rest_is_said() -> None:
    many = text(*[("word", i, 1.0) for i in range(450)])
    assert drawn(meta(input=many)).shape[0] < 4000
