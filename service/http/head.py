"""HEAD wherever GET is (RFC 9110, 9.1): the answer to GET, without its body."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Heads:
    """ASGI middleware: behind it a HEAD is a GET whose client leaves once the headers are out.

    So a stream of events that would never end, ends.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        told = False

        async def received() -> Message:
            return {"type": "http.disconnect"} if told else await receive()

        async def sent(message: Message) -> None:
            nonlocal told
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                told = True

        scope["method"] = "GET"
        try:
            await self.app(scope, received, sent)
        finally:
            scope["method"] = "HEAD"
