"""One span for each request, in the trace that the client began where it names one."""

from __future__ import annotations

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workers.contract import SERVER, span, traceparent

QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
TRACE_ID = slice(3, 35)  # of a traceparent


class Traced:
    """ASGI middleware; log lines of the request have its trace's id."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in QUIET:
            await self.app(scope, receive, send)
            return
        method = scope["method"]
        given = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent"), None)
        facts = {"http.request.method": method, "url.path": scope["path"], "whence.request_id": scope["request_id"]}
        with span(method, SERVER, [given], facts) as current:
            if current is None:
                await self.app(scope, receive, send)
                return

            async def sent(message: Message) -> None:
                if message["type"] == "http.response.start":
                    current.set_attribute("http.response.status_code", message["status"])
                await send(message)

            structlog.contextvars.bind_contextvars(trace_id=(traceparent() or "")[TRACE_ID])
            try:
                await self.app(scope, receive, sent)
            finally:
                if (route := getattr(scope.get("route"), "path", None)) is not None:
                    current.update_name(f"{method} {route}")
                    current.set_attribute("http.route", route)
