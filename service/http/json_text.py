"""JSON as clients write it: read, or told what is wrong with it and where (RFC 8259)."""

from __future__ import annotations

import re
from json import detect_encoding
from typing import Any

import orjson

from service.http.errors import Invalid, MalformedBody
from workers.contract import InputTooLarge

MOST_QUOTES = 50_000
NO_BRACES = bytes(one for one in range(256) if one not in b"{}")
NOT_FINITE = re.compile(r"nan|inf", re.IGNORECASE)
LONGEST_NUMBER = 1000
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
