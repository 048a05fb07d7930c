"""A bare HTTP connection: what a client library costs would hide what the service costs."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass

PATIENCE_S = 60
KEPT_S = 3  # the service closes a connection that is idle for 5 s


@dataclass(frozen=True)
class Answer:
    """Status, header fields by their names in lower case, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """The bytes of a request, ready to be sent; `content_type` becomes Content-Type."""
    fields = {"host": "127.0.0.1", "content-length": str(len(body)), **headers}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode() + body


class Wire:
    """One connection to a server on this machine, kept open as long as the server keeps it."""

    def __init__(self, port: int, patience: float = PATIENCE_S) -> None:
        self.port = port
        self.patience = patience
        self._socket: socket.socket | None = None
        self._last = 0.0

    def ask(self, message: bytes) -> Answer:
        """Send a request and read the whole answer."""
        connection = self._connected()
        connection.sendall(message)
        received = bytearray()
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += _some(connection)
        first, *lines = received[:end].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        whole = end + 4 + int(headers.get("content-length", 0))
        while len(received) < whole:
            received += _some(connection)
        self._last = time.monotonic()
        return Answer(int(first.split()[1]), headers, bytes(received[end + 4 :]))

    def _connected(self) -> socket.socket:
        if self._socket is None or time.monotonic() - self._last > KEPT_S:
            if self._socket is not None:
                self._socket.close()
            self._socket = socket.create_connection(("127.0.0.1", self.port), self.patience)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(1 << 20)
    if not data:
        raise ConnectionError("the server closed the connection within an answer")
    return data
