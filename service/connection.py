"""HTTP/1.1 as the API reads it: a body in very many very small pieces, or of two lengths, is refused as it comes in.

h11 takes some fifty microseconds for a piece, and the event loop answers nobody meanwhile.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_PIECES = 4096  # of a body, unless they hold on average as much as this:
PIECE = 64  # bytes
JOINED = 2**16  # bytes that are worth copying for one call of the kernel less


class Guarded(h11.Connection):
    """Of a server."""

    def __init__(self, most_head: int) -> None:
        super().__init__(h11.SERVER, most_head)
        self._pieces = self._bytes = 0

    def next_event(self) -> Any:
        """As h11's; raises RemoteProtocolError for what is refused."""
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._pieces = self._bytes = 0
            if {b"content-length", b"transfer-encoding"} <= {name for name, _ in event.headers}:
                raise h11.RemoteProtocolError("the body has two lengths")  # and a proxy may go by the other
        elif isinstance(event, h11.Data):
            self._pieces += 1
            self._bytes += len(event.data)
            if self._pieces > MOST_PIECES and self._bytes < PIECE * self._pieces:
                raise h11.RemoteProtocolError(f"the body comes in more than {MOST_PIECES} pieces")
        return event


class Joined:
    """A transport that sends the head of an answer together with its body, where that comes at once."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held: list[bytes] = []
        self._size = 0
        self._sending: asyncio.Handle | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Nothing is the end of a body; what is followed by nothing is sent once the event loop comes round."""
        self._held.append(data)
        self._size += len(data)
        if not data or self._size > JOINED:
            self._send()
        elif self._sending is None:
            self._sending = asyncio.get_running_loop().call_soon(self._send)

    def close(self) -> None:
        """Close it once all is sent."""
        self._send()
        self._transport.close()

    def _send(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None
        held = self._held if self._size > JOINED else [b"".join(self._held)]
        self._held, self._size = [], 0
        for data in held:
            self._transport.write(data)


class Protocol(H11Protocol):
    """Of a connection of uvicorn's."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        most_head = self.config.h11_max_incomplete_event_size
        assert most_head is not None
        self.conn = Guarded(most_head)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.transport = Joined(transport)  # type: ignore[assignment]

    def send_400_response(self, msg: str) -> None:
        """As uvicorn's; where an answer has begun there is no room for another, and the connection ends."""
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:
            self.transport.close()
