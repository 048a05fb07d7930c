"""Who may ask for what: an API key for all but what tells nothing, and its scope for what changes the service."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import cast

import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service.http.addresses import API, DATASETS, MODELS
from service.http.api_keys import Key, Keys
from service.http.api_keys import Scope as KeyScope
from service.http.errors import KeyRequired, ScopeMissing
from service.http.problems import problem_response

# For probes, and for people who open the page: nothing of a model or of anybody's work is told there.
OPEN = re.compile(r"/|/page/.*|/docs|/docs/[^/]*|/openapi\.json|/healthz|/readyz|/ping|/v2|/v2/health/(live|ready)")
ADMIN = re.compile(
    rf"(POST|DELETE) {re.escape(DATASETS)}(/.*)?"
    r"|POST /v2/repository/models/.*"
    rf"|(PUT|POST|DELETE) {re.escape(MODELS)}/.*"
    r"|DELETE /models/.*"
    rf"|(GET|HEAD) {re.escape(API)}/explanations",  # everyone's ids, which are all it takes to read everyone's results
    re.DOTALL,
)


class Access:
    """ASGI middleware: `scope["caller"]` becomes the id of the key. What is not open is shut."""

    def __init__(self, app: ASGIApp, keys: Keys) -> None:
        self.app = app
        self.keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or OPEN.fullmatch(scope["path"]):
            await self.app(scope, receive, send)
            return
        key, error = self._judged(scope)
        if key is None or error is not None:
            assert error is not None
            challenge = {"www-authenticate": f'Bearer realm="whence"{error.challenge}'}
            await problem_response(error.code, error.detail, headers=challenge)(scope, receive, send)
            return
        scope["caller"] = key.id
        structlog.contextvars.bind_contextvars(caller=key.id)
        await self.app(scope, receive, send)

    def _judged(self, scope: Scope) -> tuple[Key | None, KeyRequired | ScopeMissing | None]:
        given = _bearer(scope["headers"])
        if given is None:
            return None, KeyRequired("this needs an API key, in the header Authorization: Bearer KEY")
        key = self.keys.find(given)
        if key is None:
            return None, KeyRequired("the API key is none of those known here", challenge=', error="invalid_token"')
        wanted = scope_of(scope["method"], scope["path"])
        if not key.may(wanted):
            return key, ScopeMissing(f"this API key has not the scope {wanted}", wanted)
        return key, None


def caller_of(request: Request) -> str:
    """The id of the API key that the request came with; "" for everyone without one."""
    return cast(str, request.scope.get("caller", ""))


def scope_of(method: str, path: str) -> KeyScope:
    """The scope that a request needs."""
    return "admin" if ADMIN.fullmatch(f"{method} {path}") else "explain"


def _bearer(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The token of the one Authorization header; None where there is none, or none of this scheme, or several."""
    values = [value for name, value in headers if name == b"authorization"]
    scheme, _, token = values[0].decode("latin-1").partition(" ") if len(values) == 1 else ("", "", "")
    return token.strip() if scheme.lower() == "bearer" else None
