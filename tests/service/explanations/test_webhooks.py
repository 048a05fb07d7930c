"""Webhooks: signed as the reference library checks, sent nowhere but to public addresses, tried again, not for ever."""

from __future__ import annotations

import asyncio
import json
import time
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from redis import Redis
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from service.explanations import webhooks
from service.explanations.webhook_delivery import secret_of
from service.explanations.webhooks import Delivery, Webhooks
from service.http.errors import QueueFull
from service.settings import Settings
from tests.redis_server import RedisServer
from tests.service.explanations.webhook_receiver import HOOK, MASTER, Receiver, opened, resolving, until
from tests.service.fakes import FakeQueue
from workers.jobs import keys


async def test_who_asked_is_told_once_it_is_final_signed_and_at_the_address_that_was_judged(
    redis_server: RedisServer, jobs: Redis, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    resolving(monkeypatch, "93.184.216.34")
    queue, receiver = FakeQueue(), Receiver()
    queue.put("k" * 64, "running")
    async with opened(redis_server, queue, receiver) as hooks:
        await hooks.register(HOOK, ["k" * 64, "k" * 64], "ann")
        await asyncio.sleep(0.1)
        assert receiver.asked == []
        queue.put("k" * 64, "succeeded", finished_at=1.7e9)
        await until(lambda: not jobs.exists(keys.WEBHOOKS))
    (asked,) = receiver.asked
    assert str(asked.url) == "https://93.184.216.34/a?b=1"
    assert asked.headers["host"] == "hooks.example"
    assert asked.extensions["sni_hostname"] == "hooks.example"
    told = Webhook(secret_of(MASTER, "ann")).verify(asked.content, dict(asked.headers))
    assert told["type"] == "explanation.succeeded"
    assert told["data"]["id"] == "k" * 64
    assert told["timestamp"] == "2023-11-14T22:13:20.000Z"
    for wrong in (secret_of(MASTER, "bob"), secret_of(MASTER, ""), secret_of("x" * 32, "ann")):
        with pytest.raises(WebhookVerificationError):
            Webhook(wrong).verify(asked.content, dict(asked.headers))
    with pytest.raises(WebhookVerificationError):
        Webhook(secret_of(MASTER, "ann")).verify(asked.content + b" ", dict(asked.headers))
    assert list(jobs.scan_iter(keys.webhook("*"))) == []


@pytest.mark.parametrize("ahead", [-7200.0, 7200.0])
async def test_an_api_whose_clock_is_wrong_tells_in_time(
    redis_server: RedisServer, jobs: Redis, monkeypatch: pytest.MonkeyPatch, quick: None, ahead: float
) -> None:
    resolving(monkeypatch, "93.184.216.34")
    monkeypatch.setattr(webhooks, "time", SimpleNamespace(time=lambda: time.time() + ahead))
    queue, receiver = FakeQueue(), Receiver(500)
    queue.put("k" * 64, "running")
    async with opened(redis_server, queue, receiver) as hooks:
        await hooks.register(HOOK, ["k" * 64], "ann")
        await asyncio.sleep(0.1)
        there: Any = jobs
        assert there.zcount(keys.WEBHOOKS, there.time()[0] - 60, there.time()[0] + 60) == 1
        queue.put("k" * 64, "succeeded", finished_at=1.7e9)
        await until(lambda: not jobs.exists(keys.WEBHOOKS))
    assert len(receiver.asked) == 2


async def test_one_of_another_version_is_dropped_and_keeps_no_other_waiting(
    redis_server: RedisServer, jobs: Redis, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    resolving(monkeypatch, "93.184.216.34")
    queue, receiver = FakeQueue(), Receiver()
    queue.put("k" * 64, "succeeded", finished_at=1.7e9)
    jobs.set(keys.webhook("msg_strange"), "{}")
    jobs.zadd(keys.WEBHOOKS, {"msg_strange": 0})
    async with opened(redis_server, queue, receiver) as hooks:
        await hooks.register(HOOK, ["k" * 64], "ann")
        await until(lambda: not jobs.exists(keys.WEBHOOKS, keys.webhook("msg_strange")))
    assert len(receiver.asked) == 1


@pytest.mark.parametrize("trouble", [500, 302, 404, httpx.ConnectError("no"), httpx.ReadTimeout("no")])
async def test_what_does_not_arrive_is_tried_again_under_the_same_id(
    redis_server: RedisServer,
    jobs: Redis,
    monkeypatch: pytest.MonkeyPatch,
    quick: None,
    trouble: int | Exception,
) -> None:
    resolving(monkeypatch, "93.184.216.34")
    queue, receiver = FakeQueue(), Receiver(trouble, trouble)
    queue.put("k", "failed")
    async with opened(redis_server, queue, receiver) as hooks:
        await hooks.register(HOOK, ["k"], "")
        await until(lambda: not jobs.exists(keys.WEBHOOKS))
    assert len(receiver.asked) == 3
    assert len({one.headers["webhook-id"] for one in receiver.asked}) == 1
    assert {one.url.host for one in receiver.asked} == {"93.184.216.34"}  # the redirect was not followed


async def test_it_is_given_up_in_the_end_and_at_once_where_the_receiver_is_gone(
    redis_server: RedisServer, jobs: Redis, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    resolving(monkeypatch, "93.184.216.34")
    queue = FakeQueue()
    for answers, tries in (((500,) * 9, 6), ((410,), 1)):
        receiver = Receiver(*answers)
        async with opened(redis_server, queue, receiver) as hooks:
            await hooks.register(HOOK, ["unknown"], "")
            await until(lambda: not jobs.exists(keys.WEBHOOKS))
        assert len(receiver.asked) == tries
        assert json.loads(receiver.asked[0].content)["type"] == "explanation.expired"


async def test_one_whose_sender_died_comes_again_to_another(
    redis_server: RedisServer, jobs: Redis, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    resolving(monkeypatch, "93.184.216.34")
    monkeypatch.setattr(webhooks, "HELD_S", 0.2)
    queue, receiver = FakeQueue(), Receiver()
    queue.put("k", "succeeded")
    async with opened(redis_server, queue, receiver) as hooks:
        monkeypatch.setattr(webhooks, "AT_ONCE", 0)  # it takes none itself
        await hooks.register(HOOK, ["k"], "")
        found: list[Any] = []
        while not found:  # one is due when its millisecond is over
            found = json.loads(await hooks._due(args=[9, 3600]))
        (taken,) = found
        assert json.loads(await hooks._due(args=[9, 3600])) == []
        jobs.zadd(keys.WEBHOOKS, {taken["id"]: jobs.time()[0]})  # an hour later
        monkeypatch.setattr(webhooks, "AT_ONCE", 9)
        await until(lambda: not jobs.exists(keys.WEBHOOKS))
    assert [one.headers["webhook-id"] for one in receiver.asked] == [taken["id"]]
    assert Delivery.model_validate_json(taken["body"]).attempts == 0


async def test_asked_for_over_http(redis_server: RedisServer, jobs: Redis, client: httpx.AsyncClient) -> None:
    asked = {"model": "table", "method": "gradient", "input": {"tensor": {"shape": [4], "data": [1, 2, 3, 4]}}}
    answer = await client.post("/api/v1/explanations", json={**asked, "webhook": {"url": HOOK}})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/webhook")


async def test_there_is_an_end_to_how_many_wait(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "MOST", 2)
    settings = Settings(redis_url=redis_server.url, webhook_secret=MASTER)
    hooks = Webhooks(FakeQueue(), settings)
    await hooks.register(HOOK, ["a", "b"], "")
    with pytest.raises(QueueFull):
        await hooks.register(HOOK, ["c"], "")
    await hooks.__aexit__()
    assert MASTER not in repr(settings)
