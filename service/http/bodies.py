"""The three bodies of one request: JSON, multipart/form-data, and raw bytes with query parameters."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from service.http.errors import Invalid, MalformedBody
from service.http.json_text import json_object, json_value, looks_like_json
from service.http.pointers import pointer
from service.http.threads import in_thread
from workers.contract import UnsupportedMedia, meant

BINARY = ("image/", "application/x-npy", "application/vnd.safetensors")
RAW = (*BINARY, "application/octet-stream", "text/csv", "text/plain")
FIELDS = ("model", "method", "target", "parameters", "params")  # the last is what parameters were called
JSON_TYPES = ("application/json", "text/json")
LONGEST_PART = 2**20  # bytes of a field of a form; what is longer comes as a file
PARTS = ("input", "request", *FIELDS)
INPUTS = "inputs."  # before the name of a part for an input, that may be called as a field is
MOST_PARTS = 32  # of inputs by name
_JSON = "the body looks like JSON; send it with Content-Type: application/json"  # curl -d names another of itself
FILES = 32  # bytes of a file are hashed, and its header looked at, in the time in which one of text is parsed


@dataclass(frozen=True, slots=True)
class Body:
    """What a client sent: the fields of the request, and the input's bytes where they came beside them.

    `parts` are those of inputs by name. `size`: how many bytes are still to be decoded, None where nobody counted.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    upload: bytes | None = None
    size: int | None = None
    parts: Mapping[str, bytes] = field(default_factory=dict)


async def read_body(request: Request, most: int) -> Body:
    """`most`: how many commas its JSON may hold.

    Raises MalformedBody, Invalid, InputTooLarge, UnsupportedMedia, and what the edge raises of a body's size and time.
    """
    media = media_type(request) or "application/octet-stream"
    if media in JSON_TYPES or media.endswith("+json"):
        raw = await request.body()
        return Body(await in_thread(lambda: json_object(raw, "", most), len(raw)), None, len(raw))
    if media == "multipart/form-data":
        return await _read_form(request, most)
    if media.startswith(RAW):
        _check_once([name for name, _ in request.query_params.multi_items()])
        query = _plain_fields(dict(request.query_params))
        raw = await request.body()
        if "model" not in query and looks_like_json(raw):
            raise UnsupportedMedia(_JSON)
        return Body(query, raw or None, len(raw) // FILES if media.startswith(BINARY) else len(raw))
    if looks_like_json(await request.body()):
        raise UnsupportedMedia(_JSON)
    raise UnsupportedMedia(
        "the body is application/json, multipart/form-data, an image, text/csv, text/plain, application/x-npy or "
        "application/vnd.safetensors; name it in Content-Type"
    )


def media_type(request: Request) -> str:
    """The media type of a body, in small letters and without its parameters; empty where the client names none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _read_form(request: Request, most: int) -> Body:
    try:
        form = await request.form(
            max_files=2 + MOST_PARTS, max_fields=len(PARTS) + MOST_PARTS, max_part_size=LONGEST_PART
        )
    except (MultiPartException, HTTPException):
        raise MalformedBody("the multipart/form-data could not be read; is its boundary right?") from None
    try:
        return await _from_form(form, most)
    finally:
        await form.close()


async def _from_form(form: FormData, most: int) -> Body:
    _check_once([name if name in PARTS else INPUTS + name.removeprefix(INPUTS) for name, _ in form.multi_items()])
    parts = {name.removeprefix(INPUTS): await _bytes_of(form, name) for name in form if name not in PARTS}
    part = form.get("input")
    upload = await _bytes_of(form, "input") if part is not None else None
    held = len(upload or b"") + sum(map(len, parts.values()))
    given = form.get("request")
    if given is None:
        fields = {name: value for name, value in form.items() if name in FIELDS}
        size = sum(len(value) for value in fields.values() if isinstance(value, str))
        read = await in_thread(lambda: _plain_fields(fields), size)
        return Body(read, upload, size + held, parts)
    if beside := [name for name in FIELDS if name in form]:
        raise Invalid([_fault(f"/{name}", "this is said in the part request, where there is one") for name in beside])
    text = await given.read() if isinstance(given, UploadFile) else given
    asked = await in_thread(lambda: json_object(text, "/request", most), len(text))
    return Body(asked, upload, len(text) + held, parts)


async def _bytes_of(form: FormData, name: str) -> bytes:
    """What a part for an input holds: a file, or a text."""
    given = form[name]
    return given.encode() if isinstance(given, str) else await given.read()


def _plain_fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that are all text: a target or params that look like JSON are read as JSON."""
    wrong = [name for name in given if name not in FIELDS]
    if wrong:
        raise Invalid([_fault(pointer(wrong[:1]), f"an unknown field; {meant(wrong[0], FIELDS)}")])
    if not all(isinstance(value, str) for value in given.values()):
        raise Invalid([_fault("", f"{', '.join(FIELDS)} are plain fields, not files")])
    called = "params" if "params" in given else "parameters"
    if {"params", "parameters"} <= set(given):
        raise Invalid([_fault("/params", "parameters came twice, as parameters and as params")])
    fields: dict[str, Any] = {name: value for name, value in given.items() if name != called}
    if fields.get("target", "").startswith(("{", "[")):
        fields["target"] = json_value(fields["target"], "/target")
    if called in given:
        if "method" not in given:
            raise Invalid([_fault("/method", f"{called} need the name of their method")])
        fields["method"] = {**json_object(given[called], f"/{called}"), "name": given["method"]}
    return fields


def _check_once(names: Sequence[str]) -> None:
    """Of two of one name only one would be read."""
    if twice := sorted(name for name, times in Counter(names).items() if times > 1):
        raise Invalid(
            [
                _fault(f"/{name.removeprefix(INPUTS)}", "this came more than once; one request explains one input")
                for name in twice
            ]
        )


def _fault(pointer: str, detail: str) -> dict[str, str]:
    return {"pointer": pointer, "detail": detail}
