"""Hundreds of hostile requests over a real port: each is answered with its 4xx, soon, and the service lives on."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from service.app import create_app
from service.queue.status import Problem
from service.queue.submission import Order, Ticket
from service.settings import Settings
from tests.service.fakes import FakeQueue
from tests.service.http.hostile import everything
from tests.service.http.hostile_case import URL, Hostile
from tests.service.http.hostile_files import picture
from tests.service.live import serving
from workers.explanation.errors import ExplainError
from workers.jobs.work import Work
from workers.runtime.execute.model_inputs import prepared

LONGEST_S = 20.0
MIB = 2**20


class Decoding(FakeQueue):
    """Prepares each input as a worker does before it computes; what a worker refuses has failed."""

    async def submit(self, orders: Sequence[Order], *, wait: float = 0, arrays: Sequence[str] = ()) -> list[Ticket]:
        for order in orders:
            given = order.input
            data, kind = (given.data, given.kind) if given else (None, None)
            work = Work(order.job.id, order.job, order.model, 1.0, 1.0, kind=kind, data=data)
            try:
                prepared(work, self.served[order.model].named)
            except ExplainError as error:
                self.put(order.job.id, "failed", Problem(code=error.code, detail=error.detail, pointer=error.pointer))
        return await super().submit(orders, wait=wait, arrays=arrays)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    settings = Settings(
        body_limit=MIB,
        pixel_limit=10**6,
        datasets=tmp_path_factory.mktemp("datasets"),
        dataset_limit=MIB,
        dataset_unpacked=4 * MIB,
        dataset_items=300,
        log_level="CRITICAL",
    )
    with serving(create_app(settings, Decoding())) as url:
        yield url


def answered(client: httpx.Client, one: Hostile) -> tuple[int, str, bytes]:
    """Status, media type and body of the answer."""
    if one.raw is not None:
        return over_a_socket(client.base_url.host, client.base_url.port or 80, one.raw)
    answer = client.request(one.verb, one.path, content=one.content, headers=one.headers)
    return answer.status_code, answer.headers.get("content-type", ""), answer.content


def over_a_socket(host: str, port: int, raw: bytes) -> tuple[int, str, bytes]:
    with socket.create_connection((host, port), timeout=LONGEST_S) as connection:
        said = b""
        try:
            connection.sendall(raw)
            while b"\r\n\r\n" not in said and (part := connection.recv(65536)):
                said += part
        except (ConnectionResetError, BrokenPipeError):
            pass  # it hung up on what it would not read; what it said before may be lost with that
    return (int(said.split(b" ", 2)[1]) if said.startswith(b"HTTP/") else 400), "", b""


@pytest.mark.slow
def test_each_is_answered_with_its_4xx_and_the_service_lives(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    hostile, wrong = everything(), []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with httpx.Client(base_url=url, timeout=LONGEST_S, trust_env=False) as client:
        for one in hostile:
            started = time.monotonic()
            try:
                status, media, body = answered(client, one)
            except httpx.HTTPError as error:
                wrong.append((one.name, repr(error)))
                continue
            native = one.raw is None and one.path.startswith("/api/")
            if (
                status not in one.expected
                or len(body) > 8192
                or (native and media != "application/problem+json")
                or b"Traceback" in body
                or time.monotonic() - started > LONGEST_S
            ):
                wrong.append((one.name, f"{status} {media} {body[:200]!r}"))
        assert client.get("/healthz").status_code == 200
        good = client.post(f"{URL}?model=digits", content=picture("PNG", 8), headers={"content-type": "image/png"})
        assert good.status_code == 200
    assert not wrong, "\n".join(f"{name}: {what}" for name, what in wrong)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    assert grown < 400, f"{grown} MiB"
    assert len({one.name for one in hostile}) == len(hostile) >= 200
    with capsys.disabled():
        print(f"\n{len(hostile)} hostile requests answered with their 4xx; {grown} MiB more memory at the most")


def test_nothing_of_it_was_written_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive's names are never paths: only digests name files."""
    place = tmp_path / "deep" / "datasets"
    place.mkdir(parents=True)
    settings = Settings(datasets=place, dataset_limit=MIB, dataset_unpacked=4 * MIB, log_level="CRITICAL")
    with serving(create_app(settings, FakeQueue())) as url, httpx.Client(base_url=url, timeout=LONGEST_S) as client:
        for one in everything():
            if one.name.startswith("dataset: "):
                client.post(urlsplit(one.path).path, content=one.content)
    assert {path.name for path in tmp_path.rglob("*")} == {"deep", "datasets"}


def test_what_runs_when_unpickled_is_told_apart() -> None:
    """The payload is live: were any of them unpickled, the process would end."""
    import pickle

    from tests.service.http.hostile_case import Evil

    told: Any = pickle.dumps(Evil())
    with pytest.raises(SystemExit, match="unpickled"):
        pickle.loads(told)
