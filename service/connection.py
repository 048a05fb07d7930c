"""HTTP/1.1 as the API reads it: a body in very many very small pieces, or of two lengths, is refused as it comes in.

h11 takes some fifty microseconds for a piece, and the event loop answers nobody meanwhile.
"""

from __future__ import annotations

from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_PIECES = 4096  # of a body, unless they hold on average as much as this:
PIECE = 64  # bytes


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


class Protocol(H11Protocol):
    """Of a connection of uvicorn's."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        most_head = self.config.h11_max_incomplete_event_size
        assert most_head is not None
        self.conn = Guarded(most_head)

    def send_400_response(self, msg: str) -> None:
        """As uvicorn's; where an answer has begun there is no room for another, and the connection ends."""
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:
            self.transport.close()
