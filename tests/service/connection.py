"""A client's connection to an app in this process: what comes is read as it comes, and the client can go away."""

from __future__ import annotations

import asyncio
import json
from types import TracebackType
from typing import Any, NamedTuple, Self

from starlette.types import ASGIApp, Message

from tests.patience import PATIENCE_S


class Told(NamedTuple):
    """One Server-Sent Event; `name` is "comment" for comments."""

    name: str
    data: Any
    id: str = ""


class Connection:
    """Use as `async with Connection(app, "GET", "/path?query") as connection:`; it goes away at the end."""

    def __init__(self, app: ASGIApp, method: str, url: str, body: bytes = b"", **headers: str) -> None:
        path, _, query = url.partition("?")
        self._app = app
        self._scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "scheme": "http",
            "server": ("whence", 80),
            "root_path": "",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        }
        self._in: asyncio.Queue[Message] = asyncio.Queue()
        self._in.put_nowait({"type": "http.request", "body": body, "more_body": False})
        self._out: asyncio.Queue[Message] = asyncio.Queue()
        self._text = ""
        self.status = 0
        self.headers: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self._run())
        return self

    async def _run(self) -> None:
        await self._app(self._scope, self._in.get, self._out.put)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.leave()

    async def leave(self) -> None:
        """Go away, and wait until the app has noticed."""
        self._in.put_nowait({"type": "http.disconnect"})
        async with asyncio.timeout(PATIENCE_S):
            await self.task

    async def started(self) -> int:
        """The status of the answer, once it begins."""
        message = await self._next()
        assert message["type"] == "http.response.start"
        self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        self.status = message["status"]
        return self.status

    async def event(self) -> Told:
        """The next event of the stream."""
        if not self.status:
            assert await self.started() == 200
        while "\n\n" not in self._text:
            message = await self._next()
            assert message["more_body"], "the stream has ended"
            self._text += message["body"].decode()
        event, _, self._text = self._text.partition("\n\n")
        return told(event)

    async def ended(self) -> bool:
        """Whether nothing more comes."""
        message = await self._next()
        return not (self._text or message["body"] or message["more_body"])

    async def _next(self) -> Message:
        async with asyncio.timeout(PATIENCE_S):
            return await self._out.get()


def told(text: str) -> Told:
    if text.startswith(":"):
        return Told("comment", text[1:].strip())
    fields = dict(line.split(": ", 1) for line in text.split("\n"))
    return Told(fields["event"], json.loads(fields["data"]), fields["id"])


def all_told(text: str) -> list[Told]:
    """The events of a stream that has ended."""
    return [told(event) for event in text.split("\n\n") if event]
