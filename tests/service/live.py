"""A service on a real port of loopback, in a thread of the test's own process."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from service.connection import Protocol
from service.http.browser_guard import LONGEST_HEAD
from tests.patience import PATIENCE_S


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """The URL of the app, which ends with the block."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(128)
        config = uvicorn.Config(
            app, http=Protocol, log_config=None, access_log=False, h11_max_incomplete_event_size=LONGEST_HEAD
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(PATIENCE_S)
