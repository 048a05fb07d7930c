"""Hits: what is stored is answered before any route is asked. What is not, and whatever is wrong, the routes answer."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.deps import Dependencies
from service.explanations.documents import path_of
from service.explanations.responses import result_response
from service.http.addresses import API
from service.http.negotiation import parse_prefer
from service.http.problems import on_explain_error
from service.routes.repeats import Repeats
from workers.contract import ExplainError

CREATE = API + "/explanations"
READ = CREATE + "/{id}"
HIT = "whence; hit"
LARGEST = 2**19  # bytes of a body: they are hashed in the time in which they arrive
REPEAT = "repeat"  # in the scope of a request: what the route is to note
_READ = re.compile(re.escape(CREATE) + "/([0-9a-f]{64})")
_TOLD = frozenset({b"cache-control", b"whence-deadline", b"whence-priority"})  # headers that a hit would have to check
_UNREAD = b"multipart/"  # each has a boundary of its own, so none comes twice


class Route(NamedTuple):
    """What is counted and traced of the route that would have answered."""

    path: str


class Hits:
    """ASGI middleware behind that of keys and encodings. The route that makes explanations notes what was asked for."""

    def __init__(self, app: ASGIApp, dependencies: Dependencies) -> None:
        self.app = app
        self.deps = dependencies
        self.repeats = Repeats()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = None
        if scope["type"] == "http" and scope["path"].startswith(CREATE):
            if scope["method"] == "POST" and scope["path"] == CREATE and _may_repeat(scope["headers"]):
                received = await _received(receive)
                response, receive = await self._posted(scope, received), _again(received, receive)
            elif scope["method"] == "GET" and not scope["query_string"] and (found := _READ.fullmatch(scope["path"])):
                response = await self._stored(scope, found[1])
                _name(scope, response, READ)
        await (response or self.app)(scope, receive, send)

    async def _posted(self, scope: Scope, received: list[Message | Exception]) -> Response | None:
        body = _body(received)
        if body is None:
            return None
        kind = Request(scope).headers.get("content-type", "").encode()
        repeat = self.repeats.of(kind, scope["query_string"], body, self.deps.queue.models())
        scope[REPEAT] = repeat
        job_id = repeat.find()
        response = None if job_id is None else await self._stored(scope, job_id)
        if job_id is None or response is None:
            return None
        _name(scope, response, CREATE)
        if response.status_code == 200:
            self.deps.metrics.count_explanations(["hit"])
            response.headers["content-location"] = path_of(job_id)
            asked = Request(scope).headers.getlist("prefer")
            applied = parse_prefer(asked, self.deps.settings.wait, self.deps.settings.longest_wait).applied
            if applied is not None:
                response.headers["preference-applied"] = applied
        return response

    async def _stored(self, scope: Scope, job_id: str) -> Response | None:
        """As the route that reads a result answers where there is one, or where none can be read now."""
        request = Request(scope)
        accept = request.headers.get("accept", "*/*")
        known = request.headers.get("if-none-match") if scope["method"] == "GET" else None
        try:
            response = await result_response(self.deps.queue, job_id, accept, if_none_match=known)
        except ExplainError as error:
            return await on_explain_error(request, error)
        if response is not None:
            response.headers["cache-status"] = HIT
        return response


def _name(scope: Scope, response: Response | None, path: str) -> None:
    if response is not None:
        scope["route"] = Route(path)


def _may_repeat(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a body of known, small size comes, with no header that asks for more than a stored result."""
    size = 0
    for name, value in headers:
        if name in _TOLD or (name == b"content-type" and value.lstrip().lower().startswith(_UNREAD)):
            return False
        if name == b"content-length":
            size = int(value) if value.isdigit() and len(value) < 20 else 0
    return 0 < size <= LARGEST


async def _received(receive: Receive) -> list[Message | Exception]:
    """All messages of a request's body, or those until it could not be read."""
    received: list[Message | Exception] = []
    more = True
    while more:
        try:
            message = await receive()
        except Exception as error:  # a route that reads it meets the same
            received.append(error)
            return received
        received.append(message)
        more = message.get("more_body", False)
    return received


def _body(received: Iterable[Message | Exception]) -> bytes | None:
    """None where it did not come whole."""
    parts = [
        one.get("body", b"") for one in received if not isinstance(one, Exception) and one["type"] == "http.request"
    ]
    return b"".join(parts) if len(parts) == len(list(received)) else None


def _again(received: list[Message | Exception], receive: Receive) -> Receive:
    """What was received, once more, and then what comes."""
    left = iter(received)

    async def receive_again() -> Message:
        message = next(left, None)
        if isinstance(message, Exception):
            raise message
        return await receive() if message is None else message

    return receive_again
