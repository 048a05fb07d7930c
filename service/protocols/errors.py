"""Errors in the words of each protocol: problem documents on their way out are said again as its clients read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import orjson
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.negotiation import JSON
from service.http.problems import MEDIA_TYPE

Document: TypeAlias = dict[str, Any]
Error: TypeAlias = Callable[[int, str, str], Document]  # status, code and message as the protocol says them

STATUSES = {"unknown_model": 404}
NATIVE = ("", "/input", "/input/tensor", "/method", "/model", "/target")  # pointers into the native API's request
INVALID = {422: 400}  # these protocols know no 422
TORCHSERVE_TYPES = {
    "unknown_model": "ModelNotFoundException",
    "not_found": "ResourceNotFoundException",
    "method_not_allowed": "MethodNotAllowedException",
}


def kserve(_: int, __: str, message: str) -> Document:
    return {"error": message}


def torchserve(status: int, code: str, message: str) -> Document:
    other = "BadRequestException" if status < 500 else "InternalServerException"
    kind = TORCHSERVE_TYPES.get(code, "ServiceUnavailableException" if status == 503 else other)
    return {"code": status, "type": kind, "message": message}


# By the first part of the path.
ERRORS: Mapping[str, Error] = {
    "v1": kserve,
    "v2": kserve,
    "ping": torchserve,
    "models": torchserve,
    "predictions": torchserve,
    "explanations": torchserve,
}


class Dialects:
    """ASGI middleware outside of all else, so that refusals of the edge are said in the protocol's words too."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = ERRORS.get(scope["path"][1:].partition("/")[0]) if scope["type"] == "http" else None
        await self.app(scope, receive, _said_by(error, send) if error else send)


def status_of(problem: Mapping[str, Any]) -> int:
    """The status that a problem has in these protocols."""
    status: int = problem["status"]
    return STATUSES.get(problem["code"], INVALID.get(status, status))


def message_of(problem: Mapping[str, Any]) -> str:
    """What is wrong, and where in the request."""
    errors = problem.get("errors") or [{"pointer": "", "detail": problem["detail"]}]
    places = ["" if one["pointer"] in NATIVE else f" (at {one['pointer']})" for one in errors]
    return "; ".join(one["detail"] + place for one, place in zip(errors, places, strict=True))


def _said_by(error: Error, send: Send) -> Send:
    start: Message | None = None
    body = b""

    async def said(message: Message) -> None:
        nonlocal start, body
        if message["type"] == "http.response.start" and _is_problem(message):
            start = message
        elif start is None:
            await send(message)
        else:
            body += message.get("body", b"")
            if not message.get("more_body", False):
                await _send(orjson.loads(body), start)

    async def _send(problem: Mapping[str, Any], start: Message) -> None:
        status = status_of(problem)
        content = orjson.dumps(error(status, problem["code"], message_of(problem)))
        headers = MutableHeaders(scope=start)
        headers["content-type"], headers["content-length"] = JSON, str(len(content))
        await send({**start, "status": status})
        await send({"type": "http.response.body", "body": content})

    return said


def _is_problem(message: Message) -> bool:
    return MutableHeaders(scope=message).get("content-type") == MEDIA_TYPE
