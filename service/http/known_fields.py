"""Which fields there are at a place of a request, read off the JSON Schema of its kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from pydantic import BaseModel

from workers.contract import catalogue

Schema: TypeAlias = Mapping[str, Any]
DEEPEST = 100  # steps of a schema to what it refers to


def fields_at(kind: type[BaseModel], place: Sequence[Any], raw: Any) -> list[str]:
    """The names of the fields of the object at `place` in `raw`, which was read as `kind`; none where it has none."""
    found = [(_schema(kind), _schema(kind))]
    for step in place:
        found = [(below, root) for one, root in _expanded(found, raw) if (below := _below(one, step)) is not None]
        raw = raw[step]
    names = (name for one, _ in _expanded(found, raw) for name in one.get("properties", {}))
    return list(dict.fromkeys(names))


@lru_cache(maxsize=256)
def _schema(kind: type[BaseModel]) -> Schema:
    return kind.model_json_schema()


def _expanded(found: Sequence[tuple[Schema, Schema]], value: Any) -> Iterator[tuple[Schema, Schema]]:
    """The schemas of no union and no reference behind these, of those that `value` says it is of; with their roots."""
    waiting = [(schema, root, 0) for schema, root in found]
    while waiting:
        schema, root, deep = waiting.pop(0)
        if "$ref" in schema and deep < DEEPEST:
            waiting.append((root["$defs"][schema["$ref"].rpartition("/")[2]], root, deep + 1))
        elif (held := _held(schema, value)) is not None:
            yield held, held
        elif _says(schema, value):
            yield schema, root
            parts = [one for key in ("anyOf", "oneOf", "allOf") for one in schema.get(key, ())]
            waiting += [(one, root, deep + 1) for one in parts if isinstance(one, Mapping)]


def _held(schema: Schema, value: Any) -> Schema | None:
    """The schema of a method in a field that takes any, which its name says."""
    names = schema.get("properties", {}).get("name", {}).get("enum", ())
    name = value.get("name") if isinstance(value, Mapping) else None
    return _schema(catalogue()[name]) if isinstance(name, str) and name in names and name in catalogue() else None


def _says(schema: Schema, value: Any) -> bool:
    """Whether the value has the constants of the schema, where it has those fields at all."""
    properties: Mapping[str, Any] = schema.get("properties", {})
    return not isinstance(value, Mapping) or all(
        value[name] == one["const"] for name, one in properties.items() if "const" in one and name in value
    )


def _below(schema: Schema, step: object) -> Schema | None:
    if isinstance(step, int):
        found = schema.get("items")
    else:
        found = schema.get("properties", {}).get(step, schema.get("additionalProperties"))
    return found if isinstance(found, Mapping) else None
