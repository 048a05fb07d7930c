"""What generators of clients stumble over, said in another way that means the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

Json = dict[str, Any]

_TEXT = {"type": "string"}
HEADERS: Mapping[str, Json] = {
    "X-Request-Id": {"description": "Of the request, in the logs of both sides.", "schema": _TEXT},
    "Location": {"description": "Where it is, or will be.", "schema": _TEXT},
    "Content-Location": {"description": "The address of this explanation, for good.", "schema": _TEXT},
    "Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}},
    "ETag": {"description": "Strong: results never change.", "schema": _TEXT},
    "Cache-Status": {"description": "RFC 9211: a hit, computed, or joined.", "schema": _TEXT},
    "Preference-Applied": {"description": "Of Prefer, what was done.", "schema": _TEXT},
    "Link": {"description": "The next page, where there is one.", "schema": _TEXT},
    "WWW-Authenticate": {"description": "How to send a key.", "schema": _TEXT},
}
REQUEST_ID: Json = {
    "name": "X-Request-Id",
    "in": "header",
    "required": False,
    "description": "A name of yours for this request, 1 to 64 plain characters; else one is made.",
    "schema": _TEXT,
}
_OF_STATUS = {
    "202": ("Location", "Retry-After"),
    "201": ("Location",),
    "429": ("Retry-After",),
    "503": ("Retry-After",),
}
_OF_CREATED = ("Content-Location", "ETag", "Cache-Status", "Preference-Applied")


def mended(document: Json) -> None:
    """Every array says of what it is, defaults that are objects are words, and headers are declared."""
    for schema in _objects(document):
        _say_items(schema)
        _say_default(schema)
    for path, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            if verb == "post":
                operation.setdefault("parameters", []).append(REQUEST_ID)
            for status, answer in operation["responses"].items():
                names = ["X-Request-Id", *_headers_of(path, verb, status)]
                answer["headers"] = {name: HEADERS[name] for name in names}


def _headers_of(path: str, verb: str, status: str) -> Iterator[str]:
    yield from _OF_STATUS.get(status, ())
    if status == "401":
        yield "WWW-Authenticate"
    if "/explanations" in path and path.startswith("/api/"):
        if status in ("200", "202") and verb == "post":
            yield from _OF_CREATED
        elif status in ("200", "304") and "{id}" in path:
            yield "ETag"
            yield "Link"


def _say_items(schema: Json) -> None:
    """Of tuples the members say it one by one; nothing follows them."""
    kind = schema.get("type")
    if (kind == "array" or (isinstance(kind, list) and "array" in kind)) and "items" not in schema:
        members = schema.get("prefixItems", ())
        schema["items"] = members[0] if members else {}


def _say_default(schema: Json) -> None:
    default = schema.get("default")
    if default is None:
        schema.pop("default", None)  # what is absent is null; openapi-typescript takes a default for one that is sent
    if isinstance(default, dict) or (isinstance(default, list) and any(isinstance(one, dict) for one in default)):
        said = f"By default {orjson.dumps(schema.pop('default')).decode()}."
        schema["description"] = f"{schema['description']} {said}" if schema.get("description") else said


def _objects(value: Any) -> Iterator[Json]:
    """Every object in the document but examples, which are data."""
    if isinstance(value, dict):
        yield value
        for name, one in value.items():
            if name not in ("examples", "example", "default"):
                yield from _objects(one)
    elif isinstance(value, list):
        for one in value:
            yield from _objects(one)
