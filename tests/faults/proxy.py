"""A TCP proxy that can be slow, drop connections, or go silent without closing them."""

from __future__ import annotations

import contextlib
import random
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator

CHUNK = 1 << 16


class Proxy:
    """Passes on what comes to its port; its faults act on connections that are already there, too.

    `delay` is in seconds, for every chunk; `resets` is the share of chunks at which a connection is reset instead.
    """

    def __init__(self, port: int) -> None:
        self.target = port
        self.delay = 0.0
        self.resets = 0.0
        self.passed = self.held = self.dropped = 0
        self._silent = threading.Event()
        self._ended = threading.Event()
        self._draw = random.Random(0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def silence(self) -> None:
        """Nothing comes through any more and nobody is told: a link whose other end has gone."""
        self._silent.set()

    def heal(self) -> None:
        """As new; connections that were silent stay so until their owners give them up."""
        self.delay = self.resets = 0.0
        self._silent.clear()

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        self.silence()
        try:
            yield
        finally:
            self.heal()

    def close(self) -> None:
        self._ended.set()
        self._listener.close()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        """One connection, both ways. A silent one swallows what it is given, as if it were lost, until it closes."""
        dead = self._silent.is_set()
        try:
            far = socket.create_connection(("127.0.0.1", self.target), timeout=5) if not dead else None
        except OSError:
            near.close()
            return
        ends = {near: far, far: near} if far else {near: None}
        with contextlib.suppress(OSError):
            while not self._ended.is_set():
                ready, _, _ = select.select(list(ends), [], [], 0.05)
                dead = dead or self._silent.is_set()
                for end in ready:
                    data = end.recv(CHUNK)
                    if dead:
                        self.held += len(data)
                        if not data:
                            raise OSError
                        continue
                    if not data or self._draw.random() < self.resets:
                        self.dropped += 1
                        raise OSError
                    if self.delay:
                        time.sleep(self.delay)
                    other = ends[end]
                    assert other is not None
                    other.sendall(data)
                    self.passed += len(data)
        for end in ends:
            with contextlib.suppress(OSError):
                if self.resets and not dead:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.close()
