"""Instances of a call: the model's own numbers as nested lists, or an image's bytes in base64; a target beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from service.explanations.input import read_input
from service.explanations.request_schema import InputField
from service.http.errors import Invalid
from service.protocols.submission import Instance
from service.settings import Settings
from workers.contract import InputError, InputSpec

NAMES = ("data", "image", "image_bytes", "b64", "tensor")


def from_rows(rows: Any, spec: InputSpec, settings: Settings, target: Any, where: str) -> list[Instance]:
    """An instance of each row; `target` is one for each, or one that holds where a row names none.

    Raises Invalid, InvalidImage, InvalidTensor, InputTooLarge.
    """
    if not isinstance(rows, list) or not 0 < len(rows) <= settings.most_explanations:
        raise _wrong(where, f"a list of 1 to {settings.most_explanations} instances")
    each = zip(rows, _targets(target, len(rows)), strict=True)
    return [_instance(row, spec, settings, own, f"{where}/{i}") for i, (row, own) in enumerate(each)]


def from_data(data: Any, spec: InputSpec, settings: Settings, target: Any) -> tuple[list[Instance], bool]:
    """The instances of what may be one or a list of them, and whether it was a list.

    Bytes are one, and so are numbers nested as deep as the model's shape.
    """
    if isinstance(data, bytes):
        found = read_input(None, data, spec, settings)
        assert found is not None
        return [Instance(found, target)], False
    if isinstance(data, list) and (_depth(data) != len(spec.shape) or isinstance(data[0], Mapping | str)):
        return from_rows(data, spec, settings, target, "/data"), True
    return [_instance(data, spec, settings, target, "/data")], False


def _instance(raw: Any, spec: InputSpec, settings: Settings, target: Any, where: str) -> Instance:
    """An instance such as `[[0.1, ..]]`, `"<base64>"`, `{"b64": ..}` or `{"data": .., "target": 3}`."""
    if isinstance(raw, Mapping) and "shape" not in raw:
        given = {name: one for name, one in raw.items() if one is not None}
        names = [name for name in given if name != "target"]
        if len(names) != 1 or names[0] not in NAMES:
            raise _wrong(where, f"an instance is an object with one of {', '.join(NAMES)}, and a target if need be")
        target, raw = given.get("target", target), given[names[0]]
    own = raw["b64"] if isinstance(raw, Mapping) and set(raw) == {"b64"} else raw
    if isinstance(own, str):
        field = InputField(image=own)
    elif isinstance(own, Mapping):
        field = InputField(tensor=dict(own))
    else:
        field = InputField(tensor={"shape": spec.shape, "data": own})
    try:
        found = read_input(field, None, spec, settings)
    except InputError as error:
        raise type(error)(error.detail, pointer=where) from None
    assert found is not None
    return Instance(found, target)


def _targets(raw: Any, count: int) -> list[Any]:
    if not isinstance(raw, Sequence) or isinstance(raw, str):
        return ["argmax" if raw is None else raw] * count
    if len(raw) != count:
        detail = f"a list of targets has one for each instance: there are {count} instances and {len(raw)} targets"
        raise _wrong("/target", detail)
    return ["argmax" if one is None else one for one in raw]


def _depth(data: Any) -> int:
    depth = 0
    while isinstance(data, list) and data:
        data, depth = data[0], depth + 1
    return depth


def _wrong(pointer: str, detail: str) -> Invalid:
    return Invalid([{"pointer": pointer, "detail": detail}])
