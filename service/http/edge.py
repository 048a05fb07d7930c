"""The edge: one ASGI middleware for what holds of every request, and costs microseconds.

Its id, its log line and metrics, the limits of its body, and the last resort for what nobody caught.
"""

import asyncio
import re
import time
from collections.abc import Callable, Iterable
from secrets import token_hex

import structlog
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.addresses import DATASETS, MODELS
from service.http.browser_guard import HEADERS, SHARED, names, refusal, unsaid
from service.http.errors import BodyTooSlow
from service.http.metrics import Metrics
from service.http.problems import problem_response
from service.settings import Settings
from workers.contract import InputTooLarge

log = structlog.get_logger()

_SAFE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})


class Edge:
    """Wraps the whole app."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics, ending: Callable[[], bool]) -> None:
        self.app = app
        self.settings = settings
        self.metrics = metrics
        self.ending = ending
        self.headers = SHARED if names(settings.cors_origins) else HEADERS
        self.hosts = names(settings.hosts)
        self.log = log.bind()  # once: it takes longer than to write no line

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope["headers"])
        scope["request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        started = time.perf_counter()
        status = 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message["headers"]
                added = [(b"x-request-id", request_id.encode()), *unsaid(headers, self.headers)]
                if self.ending():
                    added.append((b"connection", b"close"))  # who asks next asks a process that stays
                message["headers"] = [*headers, *added]
            await send(message)

        try:
            await self._bounded(scope, receive, sent)
        except Exception:
            log.exception("unhandled")
            if status:
                raise
            await _internal_error()(scope, receive, sent)
        finally:
            self._record(scope, status, time.perf_counter() - started)

    async def _bounded(self, scope: Scope, receive: Receive, send: Send) -> None:
        wrong = refusal(scope, () if scope["path"] in _QUIET else self.hosts)
        if wrong is not None:
            await problem_response(*wrong)(scope, receive, send)
            return
        limit, seconds = self._limits(scope)
        too_large = f"the body is larger than {limit} bytes"
        if _content_length(scope["headers"]) > limit:
            await problem_response(InputTooLarge.code, too_large)(scope, receive, send)
            return
        taken = 0
        deadline = asyncio.get_running_loop().time() + seconds
        complete = False

        async def received() -> Message:
            nonlocal taken, complete
            if complete:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise BodyTooSlow(f"the body did not arrive within {seconds:g} seconds") from None
            taken += len(message.get("body", b""))
            if taken > limit:
                raise InputTooLarge(too_large)
            complete = not message.get("more_body", False)
            return message

        await self.app(scope, received, send)

    def _limits(self, scope: Scope) -> tuple[int, float]:
        """Bytes of the body, and seconds that it may take: datasets and models are larger than all else."""
        if scope["path"] == DATASETS:
            return self.settings.dataset_limit, self.settings.dataset_deadline
        if scope["path"].startswith(MODELS + "/") and scope["method"] == "PUT":
            return self.settings.model_limit, self.settings.model_deadline
        return self.settings.body_limit, self.settings.body_deadline

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self.metrics.count_request(method, route, status, seconds)
        if route in _QUIET:
            return
        if "problem" in scope:
            self.metrics.problems.labels(scope["problem"]).inc()
        self.log.info("request", method=method, route=route, status=status, ms=round(seconds * 1e3, 2))


def _internal_error() -> Response:
    return problem_response("internal_error", "something went wrong on our side; the log has the details")


def _request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The client's X-Request-Id where it is short and plain, else a new one."""
    given = next((value for name, value in headers if name == b"x-request-id"), b"")
    return given.decode("ascii") if _SAFE_ID.fullmatch(given) else token_hex(16)


def _content_length(headers: Iterable[tuple[bytes, bytes]]) -> int:
    value = next((value for name, value in headers if name == b"content-length"), b"")
    return int(value) if value.isdigit() and len(value) < 20 else 0
