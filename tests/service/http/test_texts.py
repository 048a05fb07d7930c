"""JSON, base64 and compressed bytes, as texts of clients: read, or told why not."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.http.base64_text import from_base64
from service.http.content_encoding import Unpacked
from service.http.errors import Invalid, MalformedBody
from service.http.json_text import json_value
from workers.contract import InputTooLarge, InvalidImage


def raw_deflate(data: bytes) -> bytes:
    return zlib.compress(data, wbits=-zlib.MAX_WBITS)


def wrapped(text: str) -> str:
    return "\r\n".join(text[at : at + 20] for at in range(0, len(text), 20)) + "\n"


WAYS: dict[str, Callable[[bytes], str]] = {
    "plain": lambda data: base64.b64encode(data).decode(),
    "with line ends": lambda data: wrapped(base64.b64encode(data).decode()),
    "as encodebytes": lambda data: base64.encodebytes(data).decode(),
    "URL-safe": lambda data: base64.urlsafe_b64encode(data).decode(),
    "without padding": lambda data: base64.b64encode(data).decode().rstrip("="),
    "a data: URL": lambda data: "data:image/png;base64," + base64.b64encode(data).decode(),
    "a data: URL in capitals": lambda data: (
        "DATA:image/PNG;name=a.png;BASE64,\n" + wrapped(base64.b64encode(data).decode())
    ),
}


@pytest.mark.parametrize(("text", "error", "said"), [
    (b'{"a": "\\ud83d"}', MalformedBody, "half of a character"),
    (b'["\\udc00\\ud83d"]', MalformedBody, "lone surrogate"),
    (b'"\xe9"', MalformedBody, r"byte 1 \(0xe9\) is not UTF-8"),
    (b"\xff\xfe\x00\xd8", MalformedBody, "begins as UTF-16"),
    (b"[NaN]", Invalid, "NaN, infinities"), (b'{"a": -Infinity}', Invalid, "NaN, infinities"),
    (b"[1e400]", Invalid, "NaN, infinities"), (b"[inf]", Invalid, "NaN, infinities"),
    (b"[nan]", Invalid, "NaN, infinities"), (b"[nil]", MalformedBody, "line 1, column 2"),
    (b"{'a': 1}", MalformedBody, "line 1, column 2"), (b'{"a": 1, "a": 2}', Invalid, "byte 9 comes twice"),
    (b'[{"b": {"\\u0061": 1, "a": [{}]}}]', Invalid, "byte 21 comes twice"),
])  # fmt: skip
def test_json_that_is_wrong_is_told_why(text: bytes, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        json_value(text, "")


@settings(max_examples=150, deadline=None)
@given(st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text('a"\\{}:, é\n'),
    lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text('a"\\{}:,', max_size=3), one, max_size=3),
))  # fmt: skip
def test_names_that_come_once_are_never_taken_for_twice(value: Any) -> None:
    for escaped in (True, False):
        assert json_value(json.dumps(value, ensure_ascii=escaped).encode(), "") == value


@settings(deadline=None)
@given(st.binary(min_size=1), st.sampled_from(sorted(WAYS)))
def test_base64_gives_the_bytes(data: bytes, way: str) -> None:
    assert from_base64(WAYS[way](data), "") == data


@pytest.mark.parametrize(("text", "said"), [
    ("", "empty"), ("====", "empty"), ("data:image/png;base64,", "empty"), ("AAA AAAA", r"were they \+"),
    ("AAAAA", "cut off"),
    ("AA$A", "alphabet"), ("AAé=", "alphabet"), ("data:image/svg+xml,%3Csvg", "URL is not base64"),
    (quote("A+/="), "alphabet"),
])  # fmt: skip
def test_what_is_no_base64_is_told_why(text: str, said: str) -> None:
    with pytest.raises(InvalidImage, match=said):
        from_base64(text, "")


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.integers(1, 40), st.sampled_from(["gzip", "deflate"]), st.integers(0, 400))
def test_pieces_unpack_to_the_whole_and_never_to_more(data: bytes, step: int, coding: str, limit: int) -> None:
    packed = gzip.compress(data) if coding == "gzip" else raw_deflate(data)
    stream, found = Unpacked(coding, limit), b""
    try:
        for start in range(0, len(packed), step):
            found += stream.add(packed[start : start + step], end=start + step >= len(packed))
    except InputTooLarge:
        assert len(data) > limit
        return
    assert found == data
    assert len(data) <= limit
