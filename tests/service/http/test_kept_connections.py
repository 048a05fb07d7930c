"""An idle connection is closed by who sends next on it, the client: else a request meets a close without an answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPResponse

import pytest
import uvicorn

from service import __main__ as program
from service.__main__ import Server, configured
from service.app import create_app
from service.settings import Settings
from tests.patience import PATIENCE_S
from tests.service.fakes import FakeQueue

IDLE_S = {"Go's http.Transport": 90, "nginx to its upstream": 60, "AWS's load balancer": 60, "aiohttp": 15, "httpx": 5}


@pytest.fixture
def server() -> Server:
    queue = FakeQueue()
    return Server(configured(create_app(Settings(log_level="CRITICAL"), queue), "127.0.0.1", 0), queue)


@contextmanager
def running(server: uvicorn.Server) -> Iterator[Callable[[], HTTPConnection]]:
    """New connections to the server, which runs until the block ends."""
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started)
        host, port = server.servers[0].sockets[0].getsockname()
        yield lambda: HTTPConnection(host, port, timeout=PATIENCE_S)
    finally:
        server.should_exit = True
        thread.join()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def asked(connection: HTTPConnection) -> HTTPResponse:
    """The answer to a question by this connection, read to its end."""
    connection.request("GET", "/healthz")
    answer = connection.getresponse()
    assert answer.read() == b'{"status":"alive"}'
    return answer


def refuses(connect: Callable[[], HTTPConnection]) -> bool:
    with closing(connect()) as new:
        try:
            new.connect()
        except ConnectionRefusedError:
            return True
        return False


def test_the_server_is_more_patient_than_clients_and_proxies(server: Server) -> None:
    assert server.config.timeout_keep_alive > max(IDLE_S.values())


def test_a_connection_that_was_idle_for_longer_than_httpx_keeps_one_is_answered(server: Server) -> None:
    with running(server) as connect:
        kept = connect()
        for pause in (0.0, 6.0):
            time.sleep(pause)
            assert not asked(kept).will_close
        kept.close()


def test_a_server_that_ends_answers_kept_connections_and_refuses_new_ones(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "FAREWELL_S", PATIENCE_S)
    with running(server) as connect:
        kept = [connect() for _ in range(5)]
        for one in kept:
            assert not asked(one).will_close
        server.should_exit = True
        until(lambda: refuses(connect))
        for one in kept:
            assert asked(one).will_close, "it was not told to go elsewhere"
    # It ended as soon as nobody was left, or this would have taken as long as the farewell may.
    assert not server.server_state.connections


def test_a_server_that_ends_does_not_wait_for_ever_for_who_says_nothing(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "FAREWELL_S", 0.2)
    with running(server) as connect:
        idle = connect()
        asked(idle)
        server.should_exit = True
        until(lambda: not server.server_state.connections)
        idle.close()
