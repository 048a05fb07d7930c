"""Redis as operators run it: TLS with a certificate of its own, Sentinels and a failover; a Cluster is refused."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest
from redis import Redis

from service.cli.local.redis_binary import free_port
from service.queue.queue import Queue
from service.queue.status import Status
from service.queue.storage import Input
from service.queue.submission import Order
from tests.patience import PATIENCE_S
from tests.real_redis import answers, certificate, has_tls, running
from tests.tree import ROOT
from workers.explanation.target import RankTarget
from workers.explanation.tensors import digest_image
from workers.jobs.job import Job
from workers.jobs.redis_address import WrongAddress, broker, broker_tls, check_start, checked_redis_url
from workers.methods.method import parse_method


@asynccontextmanager
async def served(url: str) -> AsyncIterator[Queue]:
    """A worker and the API's side on a Redis, once the digits are there."""
    told = {"WHENCE_REDIS_URL": url, "WHENCE_MODELS": str(ROOT / "models"), "WHENCE_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-m", "workers"]
    worker = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **told})
    try:
        async with Queue(url) as queue:
            async with asyncio.timeout(2 * PATIENCE_S):
                while "digits" not in queue.cards() or not queue.workers():
                    await asyncio.sleep(0.05)
            yield queue
    finally:
        worker.terminate()
        await asyncio.to_thread(worker.wait, PATIENCE_S)


async def explained(queue: Queue, digit: int) -> Status | None:
    """What became of the explanation of a digit."""
    data = (ROOT / "examples" / f"{digit}.png").read_bytes()
    digest = digest_image(data)
    model = queue.cards()["digits"].digest
    job = Job(model=model, input=digest, target=RankTarget(rank=0), method=parse_method("gradient"))
    await queue.submit([Order(job, "digits", Input(digest, "image", data))])
    return (await queue.wait([job.id], PATIENCE_S))[0]


@pytest.mark.slow
@pytest.mark.skipif(not has_tls(), reason="this redis-server was built without TLS")
async def test_over_tls_with_a_certificate_of_its_own(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    port = free_port()
    tls = ("--port", "0", "--tls-port", str(port), "--tls-cert-file", str(cert), "--tls-key-file", str(key))
    with running(*tls, "--tls-ca-cert-file", str(cert), "--tls-auth-clients", "no", "--dir", str(tmp_path)):
        url = f"rediss://127.0.0.1:{port}/0?ssl_cert_reqs=required&ssl_ca_certs={cert}"
        answers(Redis.from_url(url))
        check_start(url, None)
        async with served(url) as queue:
            await queue.ping()
            status = await explained(queue, 3)
            assert status is not None
            assert status.status == "succeeded"


class Watched:
    """A master, its replica and a Sentinel."""

    def __init__(self, folder: Path) -> None:
        self.stack = ExitStack()
        self.ports = free_port(), free_port()
        self.sentinel = free_port()
        self.url = f"redis+sentinel://127.0.0.1:{self.sentinel}/whence/0"
        for place, port in enumerate(self.ports):
            (folder / str(port)).mkdir()
            of = ("--replicaof", "127.0.0.1", str(self.ports[0])) if place else ()
            quick = ("--repl-diskless-sync-delay", "0")
            process = self.stack.enter_context(
                running("--port", str(port), "--dir", str(folder / str(port)), *of, *quick)
            )
            if not place:
                self.master = process
        file = folder / "sentinel.conf"
        file.write_text(
            f"port {self.sentinel}\nbind 127.0.0.1\ndir {folder}\nsentinel monitor whence 127.0.0.1 {self.ports[0]} 1\n"
            "sentinel down-after-milliseconds whence 1000\nsentinel failover-timeout whence 3000\n"
        )
        self.stack.enter_context(running(sentinel=file))
        for port in (*self.ports, self.sentinel):
            answers(Redis(port=port))
        self.replica = Redis(port=self.ports[1])

    def linked(self) -> bool:
        """Whether the replica has all, and the Sentinel knows of it."""
        info = self.replica.info("replication")
        known = Redis(port=self.sentinel).execute_command("SENTINEL", "REPLICAS", "whence")  # type: ignore[no-untyped-call]
        return info.get("master_link_status") == "up" and len(known) == 1


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    it = Watched(tmp_path)
    with it.stack:
        yield it


@pytest.mark.slow
async def test_sentinels_name_the_master_and_a_failover_is_lived_through(watched: Watched) -> None:
    check_start(watched.url, None)
    async with asyncio.timeout(PATIENCE_S):
        while not watched.linked():
            await asyncio.sleep(0.1)
    async with served(watched.url) as queue:
        first = await explained(queue, 1)
        assert first is not None
        assert first.status == "succeeded"
        watched.master.kill()
        async with asyncio.timeout(2 * PATIENCE_S):
            while True:
                try:
                    second = await explained(queue, 2)
                    if second is not None and second.status == "succeeded":
                        break
                except Exception:  # whatever it says while there is no master
                    await asyncio.sleep(0.2)
        assert (await queue.status(first.id)) is not None
    assert watched.replica.info("replication")["role"] == "master"


def test_a_cluster_is_refused_in_a_sentence(tmp_path: Path) -> None:
    port = next(port for port in iter(free_port, None) if port < 55_000)  # its bus takes the port 10,000 above
    with running("--port", str(port), "--cluster-enabled", "yes", "--dir", str(tmp_path)):
        answers(Redis(port=port))
        for module in ("service", "workers"):
            told = {"WHENCE_REDIS_URL": f"redis://127.0.0.1:{port}/0"}
            command = [sys.executable, "-W", "ignore", "-m", module]
            env = {**os.environ, **told}
            done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
            assert done.returncode == 1
            assert "WHENCE_REDIS_URL: this is a Redis Cluster" in done.stderr
            assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://a/", "begins with redis://"),
        ("redis+sentinel://a:1", "lacks the name of the master"),
        ("redis+sentinel:///whence", "is of the form"),
        ("redis+sentinel://a:b/whence", "is of the form"),
        ("redis+sentinel://a/whence/x", "is of the form"),
        ("redis://a/0?socket_timeout=soon", "cannot be read"),
    ],
)
def test_an_address_that_is_none_says_what_would_be_right(url: str, says: str) -> None:
    with pytest.raises(WrongAddress, match=says):
        checked_redis_url(url)
    with pytest.raises(WrongAddress, match="WHENCE_CACHE_URL"):
        check_start("redis://127.0.0.1:1/0", url)


def test_kombu_is_told_the_same_place() -> None:
    assert broker("redis://u:p@a:1/2") == ("redis://u:p@a:1/2", {})
    assert broker("unix:///s")[0] == "redis+socket:///s"
    url, options = broker("rediss+sentinel://u:p%2F@a,b:7/whence/2?sentinel_password=s&ssl_ca_certs=/c")
    assert url == "sentinel://u:p%2F@a:26379/2;sentinel://u:p%2F@b:7/2"
    assert options["master_name"] == "whence"
    assert options["sentinel_kwargs"] == {"password": "s", "ssl": True, "ssl_ca_certs": "/c"}
    assert broker_tls("rediss+sentinel://a/whence?ssl_ca_certs=/c") == {"ssl_ca_certs": "/c"}
    assert broker_tls("rediss://a/0") is None
