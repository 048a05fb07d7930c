"""Parameters that may only be scalars: those of a method are flattened, as `whence.steps` and `whence.of.steps`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.http.errors import Invalid
from service.http.json_text import DEEPEST, json_value

OURS = "whence."
# What the protocol's own clients send; a priority and a sequence mean nothing here, and every request is whole. What
# MLServer's codecs say of the content, a tensor's datatype says too, and its headers are the request's own.
THEIRS = (
    "binary_data_output",
    "content_type",
    "headers",
    "priority",
    "sequence_end",
    "sequence_id",
    "sequence_start",
    "timeout",
)


@dataclass(frozen=True, slots=True)
class Flattened:
    """What the parameters say: a method with its parameters, a target for every row, until when to start."""

    method: Any
    target: Any
    until: float | None


def read_parameters(given: Mapping[str, Any], method: str | None, default: str) -> Flattened:
    """`method`: the one that the model's name holds. Raises Invalid, MalformedBody."""
    own: dict[str, Any] = {}
    for key, value in sorted(given.items()):  # sorted: `whence.of` comes before `whence.of.steps`
        if value is None:
            continue
        if isinstance(value, Mapping) and key != "headers":
            raise _wrong(key, f"a number or a text; parameters of a method are flattened, as {OURS}of.steps")
        if key.startswith(OURS):
            _put(own, key.removeprefix(OURS).split("."), value, key)
        elif key not in THEIRS:
            raise _wrong(key, f"an unknown parameter; those of a method begin with {OURS}, as {OURS}steps")
    target = own.pop("target", "argmax")
    named = own.pop("method", method)
    if method is not None and named != method:
        raise _wrong(f"{OURS}method", f"this call is for {method} already")
    asked = {"name": default if named is None else named, **own}
    return Flattened(asked, target, _until(given.get("timeout") or 0))


def _put(tree: dict[str, Any], path: list[str], value: Any, key: str) -> None:
    """The value at its place; text that begins like a JSON object or list is read as one."""
    if len(path) > DEEPEST:
        raise _wrong(key[:100], f"parameters are held in each other at most {DEEPEST} deep")
    for step in path[:-1]:
        held = tree.setdefault(step, {})
        if isinstance(held, str):
            held = tree[step] = {"name": held}
        if not isinstance(held, dict):
            raise _wrong(key, "the parameter that it belongs to is no object")
        tree = held
    is_json = isinstance(value, str) and value.startswith(("{", "["))
    tree[path[-1]] = json_value(value, f"/parameters/{key}") if is_json else value


def _until(microseconds: Any) -> float | None:
    """Unix seconds by which the work must have started; 0 is no limit."""
    if isinstance(microseconds, bool) or not isinstance(microseconds, int) or not 0 <= microseconds < 10**15:
        raise _wrong("timeout", "a number of microseconds")
    return time.time() + microseconds / 1e6 if microseconds else None


def _wrong(key: str, detail: str) -> Invalid:
    return Invalid([{"pointer": f"/parameters/{key}", "detail": detail}])
