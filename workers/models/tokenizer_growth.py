"""How much longer a tokenizer makes a text before it cuts it: gigabytes made of a few words would end a process."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

MOST_GROWTH = 256  # normalisation that the tables of published models do together makes a character 80 at most
MOST_PIECES = 100  # of a template


def checked(text: str) -> str:
    """The tokenizer.json as it was understood here; raises ValueError in a person's words where a text could grow."""
    told = json.loads(text)
    try:
        longest = _growth(told.get("normalizer"))
        templates = [one.get("single", []) for one in _all(told.get("post_processor"), "processors")]
        pieces = [(len(one), [piece["Sequence"]["id"] for piece in one if "Sequence" in piece]) for one in templates]
    except (AttributeError, KeyError, TypeError, OverflowError):
        raise ValueError("its normalizer or its post_processor is not of the form that the library writes") from None
    if longest > MOST_GROWTH:
        raise ValueError(f"its normalizer may make {longest:.3g} characters of one; at most {MOST_GROWTH} are allowed")
    if any(count > MOST_PIECES or (count and of != ["A"]) for count, of in pieces):
        raise ValueError(f"its template for one text has to hold the text once, among at most {MOST_PIECES} pieces")
    return json.dumps(told)


def _growth(normalizer: Any) -> float:
    """Characters that one of a text may become."""
    found = 1.0
    for one in _all(normalizer, "normalizers"):
        found *= {"Replace": _replaced, "Prepend": _prepended, "Precompiled": _looked_up}.get(
            str(one.get("type")), _same
        )(one)
    return found


def _replaced(one: dict[str, Any]) -> float:
    pattern = one["pattern"].get("String")
    content = len(one["content"])
    return max(1.0, content / len(pattern)) if pattern else content + 1.0  # a pattern may match between characters too


def _prepended(one: dict[str, Any]) -> float:
    return 1.0 + len(one["prepend"])


def _looked_up(one: dict[str, Any]) -> float:
    """The longest of the texts in a table: the size of its index, the index, then the texts with zeros between them."""
    try:
        table = base64.b64decode(one["precompiled_charsmap"])
    except binascii.Error:
        return 1.0  # the library refuses it
    index = int.from_bytes(table[:4], "little")
    if index % 4 or not 0 < index <= len(table) - 4:
        raise ValueError("its normalizer has a precompiled_charsmap that is cut off or damaged")
    return max(1.0, *(len(text.decode(errors="replace")) for text in table[4 + index :].split(b"\0")))


def _same(_: dict[str, Any]) -> float:
    return 1.0


def _all(part: Any, within: str) -> list[dict[str, Any]]:
    """The steps of a part, those of its sequences among them, in order."""
    if part is None:
        return []
    if part.get("type") != "Sequence":
        return [part]
    return [step for one in part[within] for step in _all(one, within)]
