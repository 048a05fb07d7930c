"""What a request holds besides its input, counted before anything is made of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from service.http.errors import Invalid
from workers.contract import MAX_TARGETS, ModelCard

MOST_VALUES = 12_000  # the channels of a layer, and a composite beside them
DEEPEST = 32
LONGEST_NAME = 1000
LONGEST_TEXT = 2**20  # parameters of protocols hold JSON
BESIDE = 100_000  # commas of a body that are not between numbers of its input


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
    most = (rows * math.prod(one.input.shape) + MAX_TARGETS * math.prod(one.outputs[1:]) for one in cards)
    return BESIDE + max(most, default=0)


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
