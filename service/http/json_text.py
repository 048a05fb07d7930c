"""JSON as clients write it (RFC 8259): counted before anything is made of it, read, or refused with what is wrong."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from json import detect_encoding
from typing import Any

import orjson

from service.http.errors import Invalid, MalformedBody
from workers.contract import MAX_TARGETS, InputTooLarge, ModelCard

MOST_QUOTES = 50_000
NO_BRACES = bytes(one for one in range(256) if one not in b"{}")
NOT_FINITE = re.compile(r"nan|inf", re.IGNORECASE)
LONGEST_NUMBER = 1000
MOST_VALUES = 12_000  # the channels of a layer, and a composite beside them
DEEPEST = 32
LONGEST_NAME = 1000
LONGEST_TEXT = 2**20  # parameters of protocols hold JSON
LARGEST_OPEN = 2**22  # numbers of what has an axis of any length
BESIDE = 100_000  # commas of a body that are not between numbers of its input
MARK = "\ufeff"


def json_object(body: bytes | str, pointer: str, most: int | None = None) -> dict[str, Any]:
    """A JSON object; raises what `json_value` raises, and Invalid where it is no object."""
    value = json_value(body, pointer, most)
    if not isinstance(value, dict):
        raise Invalid([{"pointer": pointer, "detail": "this should be a JSON object"}])
    return value


def json_value(body: bytes | str, pointer: str, most: int | None = None) -> Any:
    """Any JSON in UTF-8, or in UTF-16 or UTF-32, with a byte order mark or without.

    `most`: how many commas it may hold, which are counted before it is read. Raises MalformedBody, InputTooLarge, and
    Invalid where only a number is out of JSON's range or a name comes twice.
    """
    data = (body.removeprefix(MARK) if isinstance(body, str) else _decoded(body)) or b""
    if most is not None:
        _check_count(data, most)
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise _refused(error, data, pointer) from None
    twice = _twice(data.encode() if isinstance(data, str) else data)
    if twice is not None:
        detail = f"the name at byte {twice} comes twice in its object, and only one of its values could count"
        raise Invalid([{"pointer": pointer, "detail": detail}])
    return value


def _check_count(data: bytes | str, most: int) -> None:
    found = data.count(",") if isinstance(data, str) else data.count(b",")
    if found > most:
        raise InputTooLarge(
            f"the JSON holds {found} commas, and the largest request that is taken here has {most} between its values"
        )


def looks_like_json(body: bytes) -> bool:
    """Whether the body begins as an object or a list does, in an encoding of JSON."""
    try:
        head = body[:64].lstrip().decode(detect_encoding(body), "ignore")
    except UnicodeDecodeError:
        return False
    return head.lstrip(MARK + " \t\r\n").startswith(("{", "["))


def _decoded(body: bytes) -> bytes | str:
    """UTF-8 as it is; else the text."""
    encoding = detect_encoding(body)
    if encoding == "utf-8":
        return body
    try:
        return body.decode(encoding)
    except UnicodeDecodeError as error:
        name = encoding.removesuffix("-sig").upper()
        raise MalformedBody(
            f"no JSON: it begins as {name} does, and is not {name} from byte {error.start} on"
        ) from None


def _refused(error: orjson.JSONDecodeError, data: bytes | str, pointer: str) -> Invalid | MalformedBody:
    """What is wrong, by the place where the reader stopped."""
    where = f"at line {error.lineno}, column {error.colno}"
    if "UTF-8" in error.msg:
        if isinstance(data, bytes):
            try:
                data.decode()
            except UnicodeDecodeError as wrong:
                return MalformedBody(f"no JSON: byte {wrong.start} (0x{data[wrong.start]:02x}) is not UTF-8")
        return MalformedBody("no JSON: the text holds half of a character (a lone surrogate)")
    if "surrogate" in error.msg:
        return MalformedBody(f"no JSON {where}: half of a character (a lone surrogate, \\uD800 to \\uDFFF)")
    number = re.match(r"[-\d.eE+]*", error.doc[error.pos : error.pos + LONGEST_NUMBER + 1])
    infinite = "infinity" in error.msg and number is not None and len(number[0]) <= LONGEST_NUMBER
    if infinite or NOT_FINITE.match(error.doc, error.pos):
        detail = "NaN, infinities and numbers beyond float64 are not allowed"
        return Invalid([{"pointer": pointer, "detail": detail}])
    return MalformedBody(f"no JSON {where}: {error.msg.partition(':')[0]}")


def _twice(data: bytes) -> int | None:
    """Where a name stands that its object has already; not looked for among more texts than any request of ours has."""
    if b"{" not in data or data.count(b'"') > MOST_QUOTES:
        return None
    names: list[set[bytes]] = []
    before, *rest = data.split(b'"')  # runs at the speed of memory, where a pattern would not
    _follow(before, names)
    pieces, at = iter(rest), len(before)
    for text in pieces:
        while (len(text) - len(text.rstrip(b"\\"))) % 2:  # the quote was escaped
            text += b'"' + next(pieces)
        after = next(pieces)
        if after.lstrip().startswith(b":"):
            name = text if b"\\" not in text else orjson.loads(b'"' + text + b'"').encode()
            if name in names[-1]:
                return at
            names[-1].add(name)
        _follow(after, names)
        at += len(text) + len(after) + 2
    return None


def _follow(between: bytes, names: list[set[bytes]]) -> None:
    """Objects begin and end in what stands between two texts."""
    for brace in between.translate(None, NO_BRACES):
        if brace == ord("{"):
            names.append(set())
        else:
            names.pop()


def check_small(value: Any, pointer: str) -> None:
    """Raises Invalid where JSON has more values, deeper nesting or longer texts than any parameters have.

    Nothing is looked at beyond the limit.
    """
    left, level = MOST_VALUES, [value]
    for _ in range(DEEPEST):
        inside: list[Any] = []
        for one in level:
            if isinstance(one, str) and len(one) > LONGEST_TEXT:
                raise _much(pointer, f"a text has at most {LONGEST_TEXT} characters here")
            if not isinstance(one, dict | list):
                continue
            left -= len(one)
            if left < 0:
                raise _much(pointer, f"there are at most {MOST_VALUES} values here, in all lists and objects together")
            if isinstance(one, dict) and max(map(len, one), default=0) > LONGEST_NAME:
                raise _much(pointer, f"a name has at most {LONGEST_NAME} characters here")
            inside += one.values() if isinstance(one, dict) else one
        if not inside:
            return
        level = inside
    if any(isinstance(one, dict | list) for one in level):
        raise _much(pointer, f"lists and objects are nested at most {DEEPEST} deep here")


def most_commas(cards: Iterable[ModelCard], rows: int = 1) -> int:
    """How many commas the JSON of a request can have that some model takes: between its numbers, and beside them.

    An input of so many rows is the most of it, and masks of the output's places.
    """
    most = (rows * _numbers(one.input.shape) + MAX_TARGETS * _numbers(one.outputs[1:]) for one in cards)
    return BESIDE + max(most, default=0)


def _numbers(shape: Sequence[int]) -> int:
    return LARGEST_OPEN if min(shape, default=1) < 1 else math.prod(shape)


def check_fields(given: Any, pointer: str, most: int) -> None:
    """Raises Invalid where an object has more fields than there are, or longer names than any."""
    if not isinstance(given, Mapping):
        return
    if len(given) > most:
        raise _much(pointer, f"an object with {len(given)} fields; at most {most} are there")
    if max(map(len, given), default=0) > LONGEST_NAME:
        raise _much(pointer, f"a name has at most {LONGEST_NAME} characters here")


def _much(pointer: str, detail: str) -> Invalid:
    return Invalid([{"pointer": pointer, "detail": detail}])
