"""A law: whatever text, list or open object a client may send has its most in the schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.tree import ROOT
from workers.contract import catalogue

DOCUMENT = json.loads((ROOT / "openapi" / "openapi.json").read_bytes())
BOUNDS = {
    "string": ("maxLength", "enum", "const", "pattern"),
    "array": ("maxItems",),
    "object": ("maxProperties", "properties"),
}
SAID = frozenset({"const", "default", "enum", "example", "examples", "mapping"})


def unbounded(schema: Any, where: str = "") -> Iterator[str]:
    """Where a schema, references followed by name alone, allows what has no most.

    Files are bounded by the body's limit, and so have none of their own.
    """
    if isinstance(schema, list):
        for index, one in enumerate(schema):
            yield from unbounded(one, f"{where}/{index}")
    if not isinstance(schema, dict):
        return
    kinds = schema.get("type", ())
    for kind in (kinds,) if isinstance(kinds, str) else kinds if isinstance(kinds, list) else ():
        if schema.get("format") != "binary" and not set(BOUNDS.get(kind, schema)) & set(schema):
            yield where
    for name, one in schema.items():
        if name not in SAID:
            yield from unbounded(one, f"{where}/{name}")


def named(schema: Any) -> set[str]:
    """The components that a schema refers to, and those that they do."""
    found: set[str] = set()
    waiting = [schema]
    while waiting:
        for name in set(_references(waiting.pop())) - found:
            found.add(name)
            waiting.append(DOCUMENT["components"]["schemas"][name])
    return found


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"].rpartition("/")[2]
        schema = list(schema.values())
    for one in schema if isinstance(schema, list) else ():
        yield from _references(one)


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_every_parameter_of_a_method_has_its_most(name: str) -> None:
    assert list(unbounded(catalogue()[name].model_json_schema())) == []


def test_every_body_has_its_most() -> None:
    """Addresses and headers are bounded together: what is longer than 16 KiB is 431."""
    operations = {f"{verb} {path}": one for path, verbs in DOCUMENT["paths"].items() for verb, one in verbs.items()}
    bodies = {name: one["requestBody"] for name, one in operations.items() if "requestBody" in one}
    assert len(bodies) > 6
    assert list(unbounded(bodies)) == []
    components = named(bodies)
    assert {"ExplanationRequest", "InferenceRequest", "V1Request", "LrpMethod"} <= components
    assert list(unbounded({name: DOCUMENT["components"]["schemas"][name] for name in components})) == []


@pytest.mark.parametrize("schema", [{"type": "string"}, {"type": ["array", "null"]}, {"anyOf": [{"type": "object"}]}])
def test_the_law_sees_what_it_is_about(schema: dict[str, Any]) -> None:
    assert len(list(unbounded({"properties": {"x": schema}}))) == 1
