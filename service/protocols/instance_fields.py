"""One input of an instance, in each form that clients of the protocols write it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.explanations.request_schema import InputField
from service.http.base64_text import from_base64
from service.http.errors import Invalid
from workers.contract import OPEN, InputSpec, InvalidImage, decode_text

MOST_AXES = 8
ONE_TEXT = 'an instance is one text: "..", {"text": ".."} or [".."]; or the ids of its tokens, whole numbers in a list'


def field_of(raw: Any, spec: InputSpec, where: str) -> InputField:
    """One input: a text, base64 as text or `{"b64": ..}`, a tensor with its shape, or nested lists.

    Raises Invalid, InvalidText for a text in base64 that is none.
    """
    own = raw["b64"] if isinstance(raw, Mapping) and set(raw) == {"b64"} else raw
    if spec.kind == "text" and isinstance(own, list) and own is raw:
        own = raw = _lone(own)
    if spec.kind == "text" and not isinstance(own, str | Mapping) and not _are_ids(own):
        raise wrong(where, ONE_TEXT)
    if isinstance(own, str) and own is not raw and spec.kind == "text":
        return InputField(text=_text_of(own, where))
    if isinstance(own, str):
        return InputField(text=own) if spec.kind == "text" else InputField(image=own)
    if isinstance(own, Mapping):
        return InputField(tensor=dict(own))
    return InputField(tensor={"shape": _shape_of(own) if OPEN in spec.shape else spec.shape, "data": own})


def _lone(given: list[Any]) -> Any:
    """The one text that lists of one hold, as who sends rows of columns writes it; else what was given."""
    found: Any = given
    while isinstance(found, list) and len(found) == 1:
        (found,) = found
    return found if isinstance(found, str) else given


def _are_ids(given: Any) -> bool:
    first = given
    while isinstance(first, list) and first:
        first = first[0]
    return isinstance(given, list) and isinstance(first, int | float)


def _text_of(encoded: str, where: str) -> str:
    try:
        return decode_text(from_base64(encoded, where), where)
    except InvalidImage:
        raise wrong(where, "b64 holds a text in UTF-8 as base64, which this is not") from None


def _shape_of(data: Any) -> tuple[int, ...]:
    """The lengths of nested lists, by the first of each."""
    found: list[int] = []
    while isinstance(data, list) and data and len(found) < MOST_AXES:
        found.append(len(data))
        data = data[0]
    return tuple(found)


def wrong(pointer: str, detail: str) -> Invalid:
    """What is wrong at one place."""
    return Invalid([{"pointer": pointer, "detail": detail}])
