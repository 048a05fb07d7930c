"""Hits: what is stored is answered before any route is asked. What is not, and whatever is wrong, the routes answer."""

from __future__ import annotations

import re
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.deps import Dependencies
from service.explanations.documents import path_of
from service.explanations.responses import result_response
from service.http.addresses import API
from service.http.negotiation import parse_prefer
from service.http.problems import on_explain_error
from service.routes.repeats import Repeats, may_repeat
from service.routes.replay import Received, again, body_of, received_whole
from workers.contract import ExplainError

CREATE = API + "/explanations"
READ = CREATE + "/{id}"
HIT = "whence; hit"
REPEAT = "repeat"  # in the scope of a request: what the route is to note
_READ = re.compile(re.escape(CREATE) + "/([0-9a-f]{64})")


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
            if scope["method"] == "POST" and scope["path"] == CREATE and may_repeat(scope["headers"]):
                received = await received_whole(receive)
                response, receive = await self._posted(scope, received), again(received, receive)
            elif scope["method"] == "GET" and not scope["query_string"] and (found := _READ.fullmatch(scope["path"])):
                response = await self._stored(scope, found[1])
            if response is not None:
                scope["route"] = Route(READ if scope["method"] == "GET" else CREATE)
        await (response or self.app)(scope, receive, send)

    async def _posted(self, scope: Scope, received: Received) -> Response | None:
        body = body_of(received)
        if body is None:
            return None
        kind = Request(scope).headers.get("content-type", "").encode()
        repeat = self.repeats.of(kind, scope["query_string"], body, self.deps.queue.models())
        scope[REPEAT] = repeat
        if (job_id := repeat.find()) is None:
            return None
        response = await self._stored(scope, job_id)
        if response is not None and response.status_code == 200:
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
