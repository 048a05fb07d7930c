"""Content-Encoding of requests: undone where bodies are JSON or one file, else refused with 415 and Accept-Encoding."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from anyio import to_thread
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.addresses import API
from service.http.errors import MalformedBody
from service.http.problems import problem_response
from workers.contract import InputTooLarge, UnsupportedMedia

UNDONE = (API + "/explanations", "/v2/")  # datasets are compressed already; V1 and TorchServe know no encodings
CODINGS = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}
WITH_BODY = ("PATCH", "POST", "PUT")
MOST_MEMBERS = 1000  # of a gzip: blocks that compressors write apart
LARGE = 2**12  # bytes, which may unpack to a thousand times as many


class Encodings:
    """ASGI middleware: what is behind it reads bodies as they were before they were compressed."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = codings(scope["headers"]) if scope["type"] == "http" and scope["method"] in WITH_BODY else []
        if not given:
            await self.app(scope, receive, send)
            return
        read = tuple(CODINGS) if scope["path"].startswith(UNDONE) else ()
        if len(given) > 1 or given[0] not in read:
            takes = "gzip, deflate" if read else "identity"
            advice = "gzip and deflate are, one at a time" if read else "send it as it is, without Content-Encoding"
            detail = f"the body's Content-Encoding is not undone here; {advice}"
            refused = problem_response(UnsupportedMedia.code, detail, headers={"accept-encoding": takes})
            await refused(scope, receive, send)
            return
        dropped = (b"content-encoding", b"content-length")
        scope["headers"] = [(name, value) for name, value in scope["headers"] if name not in dropped]
        unpacked = Unpacked(CODINGS[given[0]], self.limit)

        async def received() -> Message:
            message = await receive()
            if message["type"] != "http.request":
                return message
            body, more = message.get("body", b""), message.get("more_body", False)
            if len(body) < LARGE:
                return {**message, "body": unpacked.add(body, end=not more)}
            return {**message, "body": await to_thread.run_sync(lambda: unpacked.add(body, end=not more))}

        await self.app(scope, received, send)


def codings(headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
    """The codings of a body, in the order in which they were applied; identity is none."""
    given = b",".join(value for name, value in headers if name == b"content-encoding").decode("latin-1")
    return [name for one in given.split(",") if (name := one.strip().lower()) not in ("", "identity")]


class Unpacked:
    """A compressed body, unpacked as it comes in, to at most `limit` bytes."""

    def __init__(self, coding: str, limit: int) -> None:
        self.coding = coding
        self.left = limit
        self.limit = limit
        self._begun = b""
        self._members = 0
        self._stream: zlib._Decompress | None = None

    def add(self, data: bytes, *, end: bool) -> bytes:
        """What these bytes unpack to; raises MalformedBody, and InputTooLarge."""
        found = b""
        try:
            while data:
                stream, data = self._at(data)
                if stream is None:
                    break
                part = stream.decompress(data, self.left + 1)
                self.left -= len(part)
                if self.left < 0:
                    raise InputTooLarge(f"the body unpacks to more than the {self.limit} bytes that are allowed")
                found, data = found + part, stream.unused_data
                if self.coding == "gzip" and stream.eof:
                    data = data.lstrip(b"\0")  # zeros are padding; else another member follows
                    self._stream = None if data else stream
                elif data:
                    raise zlib.error
        except zlib.error:
            raise MalformedBody(f"the body is no {self.coding}, which its Content-Encoding says it is") from None
        if end and (self._begun or (self._stream is not None and not self._stream.eof)):
            raise MalformedBody(f"the body's {self.coding} is cut off")
        return found

    def _at(self, data: bytes) -> tuple[zlib._Decompress | None, bytes]:
        """The stream that reads on, and what it is to read; none before two bytes have told which deflate it is."""
        if self._stream is None:
            data, self._begun = self._begun + data, b""
            if len(data) < 2:
                self._begun = data
                return None, b""
            wrapped = data[0] & 15 == zlib.DEFLATED and int.from_bytes(data[:2]) % 31 == 0
            self._members += 1
            if self._members > MOST_MEMBERS:
                raise MalformedBody(f"the body's gzip has more than {MOST_MEMBERS} members; compress it as one")
            window = zlib.MAX_WBITS | 16 if self.coding == "gzip" else zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS
            self._stream = zlib.decompressobj(window)
        return self._stream, data
