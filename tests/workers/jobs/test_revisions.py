"""API and workers of different versions: nothing is stored under an id that says another thing, nothing is lost."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis import Redis

from service.queue.queue import Queue
from service.queue.storage import Input
from service.queue.submission import Order
from tests.orders import claimed, order, serving
from tests.patience import PATIENCE_S
from tests.redis_server import RedisServer
from tests.tree import ROOT
from workers.explanation.target import RankTarget
from workers.explanation.tensors import digest_image
from workers.jobs import keys, profile
from workers.jobs.job import Job, canonical_json
from workers.jobs.records import Store
from workers.methods.gradient.gradient import Gradient
from workers.methods.method import parse_method

# A worker of a version whose gradient has another revision; its reconciler waits no minute for others.
OF_REVISION = """
from workers.methods.gradient.gradient import Gradient
from workers.jobs.records import Store
Gradient.revision = {revision}
Store.reconcile.__defaults__ = ({patience},)
from workers.__main__ import main
main()
"""


async def asked_by(revision: int, queue: Queue, monkeypatch: pytest.MonkeyPatch, asked: Order) -> str:
    with monkeypatch.context() as patch:
        patch.setattr(Gradient, "revision", revision)
        await queue.submit([asked])
        return asked.job.id


async def test_work_of_another_revision_is_left_to_its_workers(
    queue: Queue, jobs: Redis, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = await asked_by(7, queue, monkeypatch, order(0))
    await queue.submit([mine := order(1, "lrp")])
    assert claimed(store) == [mine.job.id]
    assert claimed(store) == []
    status = await queue.status(theirs)
    assert status is not None
    assert (status.status, status.attempts) == ("queued", 0)
    with monkeypatch.context() as patch:  # a worker of that version comes
        patch.setattr(Gradient, "revision", 7)
        assert claimed(serving(Store(jobs))) == [theirs]


async def test_what_no_worker_takes_fails_and_says_why(
    queue: Queue, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = await asked_by(7, queue, monkeypatch, order(0))
    store.reconcile(5.0, unserved_s=0.0)
    store.reconcile(5.0, unserved_s=0.0)
    status = await queue.status(theirs)
    assert status is not None
    assert status.error is not None
    assert (status.status, status.error.code) == ("failed", "revision_not_served")
    assert "gradient at revision 7" in status.error.detail


async def test_what_is_of_another_version_after_all_fails_and_says_so(queue: Queue, jobs: Redis, store: Store) -> None:
    for index, change in enumerate((b'"unheard_of":1,"name":"gradient"', b'"name":"unheard_of"')):
        await queue.submit([asked := order(index)])
        spec = jobs.hget(keys.job(asked.job.id), "spec")
        assert isinstance(spec, bytes)
        jobs.hset(keys.job(asked.job.id), "spec", spec.replace(b'"name":"gradient"', change).decode())
        (one,) = store.claim("interactive", "w").foreign
        assert one.id == asked.job.id
        assert "another version" in one.error.detail


def test_parameters_of_another_name_are_another_method() -> None:
    def named(**fields: object) -> str:
        return profile.word_of(type("Other", (Gradient,), {"__annotations__": dict.fromkeys(fields, int), **fields}))

    assert named() == named()
    assert named(steps=3) == named(steps=4) != named(turns=3) != named()


@asynccontextmanager
async def working(server: RedisServer, revision: int, patience: float = 60.0) -> AsyncIterator[None]:
    code = OF_REVISION.format(revision=revision, patience=patience)
    told = {"WHENCE_REDIS_URL": server.url, "WHENCE_MODELS": str(ROOT / "models"), "WHENCE_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, env={**os.environ, **told})
    try:
        yield
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, PATIENCE_S)


async def ready(queue: Queue, workers: int) -> str:
    """The digest of the digits, once so many workers live."""
    async with asyncio.timeout(2 * PATIENCE_S):
        while len(queue.workers()) != workers or "digits" not in queue.cards():
            await asyncio.sleep(0.05)
    return queue.cards()["digits"].digest


def digit(number: int, model: str) -> Order:
    data = (ROOT / "examples" / f"{number}.png").read_bytes()
    digest = digest_image(data)
    job = Job(model=model, input=digest, target=RankTarget(rank=0), method=parse_method("gradient"))
    return Order(job, "digits", Input(digest, "image", data))


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), [(1, 2), (2, 1)], ids=["workers first", "API first"])
async def test_a_rolling_upgrade_in_either_order(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, first: int, second: int
) -> None:
    """Real workers of two revisions: each answers what its own was asked, and no id holds the other's numbers."""
    async with Queue(redis_server.url) as queue, working(redis_server, first):
        model = await ready(queue, 1)
        early = [await asked_by(second, queue, monkeypatch, digit(n, model)) for n in range(3)]
        now = [await asked_by(first, queue, monkeypatch, digit(n, model)) for n in range(3, 6)]
        assert [one and one.status for one in await queue.wait(now, PATIENCE_S)] == ["succeeded"] * 3
        assert [one and one.status for one in await queue.wait(early, 0)] == ["queued"] * 3
        async with working(redis_server, second):
            await ready(queue, 2)
            mixed = [await asked_by(r, queue, monkeypatch, digit(n, model)) for n in range(6, 9) for r in (1, 2)]
            done = await queue.wait(early + mixed, PATIENCE_S)
            assert [one and one.status for one in done] == ["succeeded"] * 9
        for job_id in early + now + mixed:
            meta = await queue.meta(job_id)
            assert meta is not None
            assert hashlib.sha256(canonical_json(meta["receipt"]["job"])).hexdigest() == job_id


@pytest.mark.slow
async def test_when_the_last_worker_of_a_revision_is_gone_its_work_fails_in_time(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Queue(redis_server.url) as queue, working(redis_server, 2, patience=1.0):
        theirs = await asked_by(1, queue, monkeypatch, digit(0, await ready(queue, 1)))
        (status,) = await queue.wait([theirs], PATIENCE_S)
        assert status is not None
        assert status.error is not None
        assert (status.status, status.error.code) == ("failed", "revision_not_served")
        assert await queue.meta(theirs) is None
