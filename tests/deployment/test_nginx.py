"""The nginx in front: its limits agree with the API's, and it does what it is there for."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import crossplane
import httpx
import pytest

from service.http.addresses import DATASETS
from service.settings import Settings
from tests.patience import PATIENCE_S
from tests.tree import ROOT

CONFIG = ROOT / "deploy" / "nginx" / "nginx.conf"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed: apt-get install nginx-light")


def parsed() -> list[dict[str, Any]]:
    found = crossplane.parse(str(CONFIG), single=True)
    assert found["errors"] == []
    blocks: list[dict[str, Any]] = found["config"][0]["parsed"]
    return blocks


def values(block: list[dict[str, Any]]) -> dict[str, list[str]]:
    return {one["directive"]: one["args"] for one in block if "block" not in one}


def inside(block: list[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    """The block under these names, each a directive with its arguments."""
    for name in names:
        block = next(one["block"] for one in block if " ".join([one["directive"], *one["args"]]) == name)
    return block


def size(words: list[str]) -> int:
    assert words[0].endswith("m")
    return int(words[0][:-1]) * 2**20


def seconds(words: list[str]) -> int:
    assert words[0].endswith("s")
    return int(words[0][:-1])


def test_bodies_may_be_as_large_as_the_api_takes() -> None:
    settings = Settings()
    web = inside(parsed(), "http")
    assert size(values(web)["client_max_body_size"]) == settings.body_limit
    uploads = inside(web, "server", f"location = {DATASETS}")
    assert size(values(uploads)["client_max_body_size"]) == settings.dataset_limit


def test_it_waits_longer_than_the_api_and_less_for_slow_clients() -> None:
    settings, web = Settings(), values(inside(parsed(), "http"))
    assert seconds(web["proxy_read_timeout"]) > max(settings.longest_wait, settings.protocol_wait)
    assert seconds(web["client_header_timeout"]) <= seconds(web["client_body_timeout"]) <= settings.body_deadline
    assert {"limit_conn", "limit_conn_zone", "send_timeout", "reset_timedout_connection"} <= web.keys()


class Behind(http.server.BaseHTTPRequestHandler):
    """An API that tells what it was sent."""

    seen: ClassVar[list[Mapping[str, str]]] = []

    def answer(self) -> None:
        length = int(self.headers.get("content-length", 0))
        self.rfile.read(length)
        self.seen.append(dict(self.headers))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(length).encode())

    do_GET = do_POST = answer  # noqa: N815 - as http.server wants them

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def behind() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Behind) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def nginx(behind: int, folder: Path) -> Iterator[str]:
    """nginx with the shipped configuration, but for its places, and for patience that suits a test."""
    port, text = free_port(), CONFIG.read_text()
    changes = {
        "listen 8080;": f"listen 127.0.0.1:{port};",
        "http://api:8000": f"http://127.0.0.1:{behind}",
        " /tmp/": f" {folder}/",
        "/dev/stdout": f"{folder}/lines",
        "/dev/stderr": f"{folder}/errors",
        "client_header_timeout 10s": "client_header_timeout 1s",
        "client_body_timeout 10s": "client_body_timeout 1s",
        "worker_processes auto": "worker_processes 1",
    }
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    (folder / "nginx.conf").write_text(text)
    rights = "user root;" if os.geteuid() == 0 else ""  # its workers would be nobody, who may not enter the folder
    command = [
        str(NGINX),
        "-c",
        str(folder / "nginx.conf"),
        "-e",
        str(folder / "errors"),
        "-g",
        f"daemon off; {rights}",
    ]
    with subprocess.Popen(command) as process:
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
        process.terminate()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nginx")


@pytest.fixture(scope="module")
def front(behind: int, folder: Path) -> Iterator[str]:
    with nginx(behind, folder) as url:
        yield url


@needs_nginx
def test_a_request_passes_with_its_id_and_its_host(front: str) -> None:
    answer = httpx.post(
        f"{front}/api/v1/explanations", content=b"x" * 2**20, headers={"x-request-id": "mine"}, timeout=PATIENCE_S
    )
    assert (answer.status_code, answer.text) == (200, str(2**20))
    assert Behind.seen[-1]["X-Request-ID"] == "mine"
    assert Behind.seen[-1]["Host"] == front.removeprefix("http://")
    httpx.get(f"{front}/healthz", timeout=PATIENCE_S)
    assert len(Behind.seen[-1]["X-Request-ID"]) == 32


@needs_nginx
def test_a_body_that_is_too_large_never_reaches_the_api(front: str) -> None:
    before = len(Behind.seen)
    answer = httpx.post(f"{front}/api/v1/explanations", content=b"x" * (Settings().body_limit + 1), timeout=PATIENCE_S)
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "input_too_large"
    assert len(Behind.seen) == before


@needs_nginx
def test_metrics_are_not_for_everyone(front: str) -> None:
    assert httpx.get(f"{front}/metrics", timeout=PATIENCE_S).status_code == 404


@needs_nginx
@pytest.mark.parametrize(
    "sent",
    [b"GET /healthz HTTP/1.1\r\nHost:", b"POST /api/v1/explanations HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx"],
    ids=["headers", "body"],
)
def test_a_client_that_stands_still_is_shut_out(front: str, sent: bytes) -> None:
    before = len(Behind.seen)
    host, port = front.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 10) as slow:
        slow.sendall(sent)
        with suppress(ConnectionResetError):
            assert b" 200 " not in slow.recv(4096)
    assert len(Behind.seen) == before


@needs_nginx
def test_more_connections_than_one_may_have_are_told_so(front: str) -> None:
    host, port = front.removeprefix("http://").split(":")
    half = b"POST /api/v1/explanations HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx"
    many = [socket.create_connection((host, int(port)), 10) for _ in range(100)]
    try:
        for one in many:
            one.sendall(half)
        refused = httpx.get(f"{front}/healthz", timeout=PATIENCE_S)
    finally:
        for one in many:
            one.close()
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_connections")
    assert refused.headers["retry-after"] == "2"


@needs_nginx
def test_the_lines_of_its_log_are_json_with_the_requests_id(front: str, folder: Path) -> None:
    httpx.get(f"{front}/healthz", headers={"x-request-id": 'with "quotes"'}, timeout=PATIENCE_S)
    lines, until = folder / "lines", time.monotonic() + PATIENCE_S
    while "quotes" not in lines.read_text() and time.monotonic() < until:
        time.sleep(0.02)
    told = [json.loads(line) for line in lines.read_text().splitlines()]
    assert any(line["request_id"] == 'with "quotes"' and line["status"] == 200 for line in told)


@needs_nginx
def test_an_api_that_is_away_is_a_problem_with_a_time_to_come_again(tmp_path: Path) -> None:
    with nginx(free_port(), tmp_path) as url:
        answer = httpx.get(f"{url}/healthz", timeout=PATIENCE_S)
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "unavailable", "2")
