"""Bodies in very many pieces, or of two lengths, are refused as they come in; those of ordinary pieces are read."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from service.app import create_app
from service.connection import MOST_PIECES
from service.settings import Settings
from tests.patience import PATIENCE_S
from tests.service.fakes import FakeQueue
from tests.service.live import serving

URL = "/api/v1/explanations"
BODY = b'{"model": "nothing"}'


@pytest.fixture
def url() -> Iterator[str]:
    with serving(create_app(Settings(log_level="CRITICAL"), FakeQueue())) as url:
        yield url


def said(url: str, *sent: bytes) -> bytes:
    """All that the server says until it hangs up, or what it said before it hung up on what it would not read."""
    place, found = urlsplit(url), b""
    with socket.create_connection((place.hostname, place.port), timeout=PATIENCE_S) as connection:
        try:
            for part in sent:
                connection.sendall(part)
            while part := connection.recv(65536):
                found += part
        except (ConnectionResetError, BrokenPipeError):
            pass
    return found


def head(*lines: str, path: str = URL) -> bytes:
    told = [f"POST {path} HTTP/1.1", "Host: x", "Content-Type: application/json", *lines]
    return ("\r\n".join(told) + "\r\n\r\n").encode()


@pytest.mark.parametrize("path", [URL, "/api/v1/nothing"])
def test_a_body_of_very_many_pieces_is_refused_and_the_connection_ends(url: str, path: str) -> None:
    """Also where the answer was on its way before they had all come."""
    pieces = b"1\r\n \r\n" * (4 * MOST_PIECES)
    found = said(url, head("Transfer-Encoding: chunked", path=path), pieces, b"0\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n")
    assert b" 200 OK" not in found
    assert found[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 404", b"")
    assert httpx.get(f"{url}/healthz", trust_env=False, timeout=PATIENCE_S).status_code == 200


@pytest.mark.parametrize(("count", "size"), [(MOST_PIECES, 1), (3 * MOST_PIECES, 100)])
def test_a_body_in_ordinary_pieces_is_read(url: str, count: int, size: int) -> None:
    def pieces() -> Iterator[bytes]:
        yield BODY
        for _ in range(count - 1):
            yield b" " * size

    json = {"content-type": "application/json"}
    answer = httpx.post(url + URL, content=pieces(), headers=json, timeout=PATIENCE_S, trust_env=False)
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_model")


def test_a_body_of_two_lengths_is_refused_and_what_follows_is_not_read(url: str) -> None:
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    found = said(
        url, head("Content-Length: 4", "Transfer-Encoding: chunked"), chunked, b"GET /healthz HTTP/1.1\r\n\r\n"
    )
    assert found.count(b"HTTP/1.1 ") <= 1
    assert found[:12] in (b"HTTP/1.1 400", b"")
