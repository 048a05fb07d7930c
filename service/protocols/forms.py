"""The bodies that TorchServe's clients send: a file as it is, a form, or JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from service.http.bodies import LONGEST_PART, media_type
from service.http.errors import Invalid, MalformedBody
from service.http.json_text import json_object, json_value, looks_like_json
from service.http.pointers import pointer
from service.http.threads import in_thread
from workers.contract import meant

FILES = ("data", "body", "input")
FIELDS = ("method", "target", "parameters", "params")  # the last is what parameters were called


@dataclass(frozen=True, slots=True)
class Call:
    """What a call sent: its data (bytes of a file, or JSON), its method, its target, and its size in bytes."""

    data: Any
    method: Any
    target: Any
    size: int


async def read_call(request: Request, most: int) -> Call:
    """`most`: how many commas its JSON may hold. Raises MalformedBody, Invalid, InputTooLarge, UnsupportedMedia."""
    query = _known(dict(request.query_params), FIELDS)
    if media_type(request) == "multipart/form-data":
        data, fields = await _form(request)
        size = len(data) + sum(len(one) for one in fields.values())
        return await in_thread(lambda: _call(data, query | fields, size), size)
    body = await request.body()
    if not looks_like_json(body):  # curl -T and -d name no media type worth trusting
        if not body:
            raise MalformedBody("the body is empty; send an image, a tensor or JSON")
        return _call(body, query, len(body))
    return await in_thread(lambda: _from_json(body, query, most), len(body))


def _from_json(body: bytes, query: dict[str, Any], most: int) -> Call:
    content = json_value(body, "", most)
    if not isinstance(content, dict):
        return _call(content, query, len(body))
    content = {name: one for name, one in content.items() if one is not None}
    names = [name for name in (*FILES, "instances") if name in content]
    if len(names) != 1:
        raise Invalid([{"pointer": "", "detail": 'a JSON body is nested numbers, {"data": ..} or {"instances": [..]}'}])
    data = content.pop(names[0])
    if names == ["instances"] and not isinstance(data, list):
        raise Invalid([{"pointer": "/instances", "detail": "a list of instances"}])
    return _call(data, query | _known(content, FIELDS), len(body))


async def _form(request: Request) -> tuple[bytes, dict[str, Any]]:
    try:
        form = await request.form(max_files=1, max_fields=len(FIELDS), max_part_size=LONGEST_PART)
    except (MultiPartException, HTTPException):
        raise MalformedBody("the form could not be read: one file named data, and fields if need be") from None
    try:
        files = {name: part for name, part in form.items() if isinstance(part, UploadFile)}
        fields = {name: part for name, part in form.items() if not isinstance(part, UploadFile)}
        if len(files) != 1 or not files.keys() <= set(FILES):
            raise Invalid([{"pointer": "", "detail": f"the form has one file, named one of {', '.join(FILES)}"}])
        return await next(iter(files.values())).read(), _known(fields, FIELDS)
    finally:
        await form.close()


def _known(fields: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    if wrong := sorted(fields.keys() - set(names)):
        raise Invalid([{"pointer": pointer(wrong[:1]), "detail": f"an unknown field; {meant(wrong[0], names)}"}])
    return dict(fields)


def _call(data: Any, fields: Mapping[str, Any], size: int) -> Call:
    target, method = fields.get("target", "argmax"), fields.get("method")
    if isinstance(target, str) and target.startswith(("{", "[")):
        target = json_value(target, "/target")
    params = fields.get("parameters", fields.get("params", {}))
    if isinstance(params, str):
        params = json_object(params, "/parameters")
    if not isinstance(params, Mapping) or (params and not isinstance(method, str)):
        raise Invalid(
            [{"pointer": "/parameters", "detail": "an object of parameters, beside the name of their method"}]
        )
    return Call(data, {**params, "name": method} if params else method, target, size)
