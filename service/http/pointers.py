"""Where in a request a fault lies (RFC 6901), and what would be right there, from pydantic's report of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from pydantic import BaseModel

from service.http.errors import LONGEST_POINTER, MOST_ERRORS
from service.http.known_fields import fields_at
from workers.contract import meant

Path: TypeAlias = tuple[Any, ...]
_ABSENT = object()
_MISSING = ("missing", "union_tag_not_found")
_OBJECT = ("dict_type", "model_attributes_type", "model_type")
_MOST_NAMES = 10  # of fields that are told
_PLAIN: Mapping[str, str] = {
    "missing": "this field is missing",
    "tuple_type": "this should be a list",
    "union_tag_not_found": "this field is missing",
}  # what pydantic says in its own words


def pointers(
    errors: Sequence[Mapping[str, Any]], prefix: str = "", raw: Any = None, kind: type[BaseModel] | None = None
) -> list[dict[str, str]]:
    """Pydantic's errors of `raw`, read as `kind`, as {pointer, detail}; nothing of what the client sent is told.

    Pydantic's path also names the members of a union that it tried: these are no part of a pointer, and of members
    that all refuse the value, the one counts that it has the form of.
    """
    found = [(_place(error, raw), error) for error in errors[:MOST_ERRORS]]
    inner = [place for place, error in found if _in_union(place, error)]
    found = [(place, error) for place, error in found if not _is_outer(place, error, inner)]
    places = [place for place, _ in found]
    # Of a list whose items are all wrong pydantic says besides that it is too short.
    kept = [
        (place, error)
        for place, error in found
        if error["type"] != "too_short" or not any(_is_below(one, place) for one in places)
    ]
    told: dict[Path, dict[str, None]] = {}
    for place, error in _of_that_form(kept, raw):
        told.setdefault(place, {})[_detail(error, place, raw, kind)] = None
    return [{"pointer": pointer(place, prefix), "detail": "; or ".join(details)} for place, details in told.items()]


def pointer(place: Iterable[object], prefix: str = "") -> str:
    """A JSON pointer below `prefix`."""
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in place)
    return (prefix + "".join(f"/{step}" for step in steps))[:LONGEST_POINTER]


def _place(error: Mapping[str, Any], raw: Any) -> Path:
    """The steps of an error's path that lead through what was sent."""
    loc: Path = tuple(error["loc"])
    if error["type"].startswith("union_tag"):
        loc = (*loc, error["ctx"]["discriminator"].strip("'"))
    if raw is None:
        return loc
    if error["type"] in _MISSING:  # the last step is what is not there
        ways = [(*way, loc[-1]) for way in _ways(loc[:-1], raw) if isinstance(_at(way, raw), Mapping)]
    else:
        ways = _ways(loc, raw)
    return max(ways, key=lambda way: (way[-1:] == loc[-1:], len(way)))


def _ways(loc: Path, raw: Any) -> list[Path]:
    """Every choice of the path's steps, in their order, that leads through `raw`."""
    ways: dict[Path, None] = {(): None}
    for step in loc:
        longer = [(*way, step) for way in ways if _step(_at(way, raw), step) is not _ABSENT]
        ways |= dict.fromkeys(longer)
    return list(ways)


def _at(place: Path, raw: Any) -> Any:
    for step in place:
        raw = _step(raw, step)
    return raw


def _step(value: Any, step: object) -> Any:
    if isinstance(value, Mapping):
        return value.get(step, _ABSENT)
    inside = isinstance(value, list | tuple) and type(step) is int and step < len(value)
    return value[step] if inside else _ABSENT


def _is_outer(place: Path, error: Mapping[str, Any], inner: Sequence[Path]) -> bool:
    """Whether it is of a member of a union of another form, where one went on into the value."""
    return _in_union(place, error) and any(_is_below(one, place) for one in inner)


def _in_union(place: Path, error: Mapping[str, Any]) -> bool:
    return bool(len(place) < len(error["loc"]) + error["type"].startswith("union_tag"))


def _is_below(place: Path, other: Path) -> bool:
    return len(place) > len(other) and place[: len(other)] == other


def _of_that_form(found: Sequence[tuple[Path, Mapping[str, Any]]], raw: Any) -> list[tuple[Path, Mapping[str, Any]]]:
    """Without what other forms there are for a text that is none of the texts that may be."""
    named = {place for place, error in found if error["type"] == "literal_error" and isinstance(_at(place, raw), str)}
    return [(place, error) for place, error in found if place not in named or error["type"] == "literal_error"]


def _detail(error: Mapping[str, Any], place: Path, raw: Any, kind: type[BaseModel] | None) -> str:
    given = _at(place, raw)
    if error["type"] == "extra_forbidden":
        names = fields_at(kind, place[:-1], raw) if kind else []
        return f"there is no field of this name; {meant(place[-1], names)}" if names else "there is no such field here"
    if error["type"] == "literal_error":
        return _none_of(given, error["ctx"]["expected"])
    if error["type"] == "union_tag_invalid":
        return _none_of(given, error["ctx"]["expected_tags"])
    if error["type"] in _OBJECT:
        names = fields_at(kind, place, raw) if kind else []
        told = f" with {', '.join(names)}" if 0 < len(names) <= _MOST_NAMES else ""
        return f"this should be a JSON object{told}"
    return _PLAIN.get(error["type"]) or error["msg"].removeprefix("Value error, ")


def _none_of(given: Any, expected: str) -> str:
    names = re.findall(r"'([^']*)'", expected)
    if not isinstance(given, str) or len(names) != len(re.findall(r", | or ", expected)) + 1:
        return f"this should be {expected}"
    return f"no such value; {meant(given, names)}"
