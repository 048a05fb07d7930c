"""An idle connection is closed by who sends next on it, the client: else a request meets a close without an answer."""

from __future__ import annotations

import threading
import time
from http.client import HTTPConnection

import pytest
import uvicorn

from service.__main__ import configured
from service.app import create_app
from service.settings import Settings
from tests.patience import PATIENCE_S
from tests.service.fakes import FakeQueue

IDLE_S = {"Go's http.Transport": 90, "nginx to its upstream": 60, "AWS's load balancer": 60, "aiohttp": 15, "httpx": 5}


@pytest.fixture
def config() -> uvicorn.Config:
    return configured(create_app(Settings(log_level="CRITICAL"), FakeQueue()), "127.0.0.1", 0)


def test_the_server_is_more_patient_than_clients_and_proxies(config: uvicorn.Config) -> None:
    assert config.timeout_keep_alive > max(IDLE_S.values())


def test_a_connection_that_was_idle_for_longer_than_httpx_keeps_one_is_answered(config: uvicorn.Config) -> None:
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        end = time.monotonic() + PATIENCE_S
        while not server.started and time.monotonic() < end:
            time.sleep(0.01)
        port: int = server.servers[0].sockets[0].getsockname()[1]
        kept = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        for pause in (0.0, 6.0):
            time.sleep(pause)
            kept.request("GET", "/healthz")
            assert kept.getresponse().read() == b'{"status":"alive"}'
        kept.close()
    finally:
        server.should_exit = True
        thread.join()
