"""Webhooks: signed as the reference library checks, sent nowhere but to public addresses, tried again, not for ever."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any

import httpx
import pytest
from redis import Redis
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from service.explanations import webhooks
from service.explanations.webhook_addresses import PlaceRefused, Rules, check, public, resolve
from service.explanations.webhook_delivery import secret_of, send, sender
from service.explanations.webhooks import Delivery, Webhooks
from service.http.errors import Invalid, QueueFull
from service.settings import Settings
from tests.patience import PATIENCE_S
from tests.redis_server import RedisServer
from tests.service.fakes import FakeQueue
from workers.jobs import keys

MASTER = "m" * 32
HOOK = "https://hooks.example/a?b=1"
OPEN_RULES = Rules(inside=True)


class Receiver(httpx.AsyncBaseTransport):
    """Answers with the statuses it was given, then 204; an exception is raised."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.asked.append(request)
        answer = self.answers.pop(0) if self.answers else 204
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer, headers={"location": "http://127.0.0.1/"})


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    async def found(*_: object, **__: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", found)


@asynccontextmanager
async def opened(server: RedisServer, queue: FakeQueue, receiver: Receiver, **fields: Any) -> AsyncIterator[Webhooks]:
    settings = Settings(redis_url=server.url, webhook_secret=MASTER, **fields)
    async with Webhooks(queue, settings, receiver) as hooks:
        yield hooks


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():
            await asyncio.sleep(0.01)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "POLL_S", 0.01)
    monkeypatch.setattr(webhooks, "RETRIES_S", (0.01,) * 5)


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
        await hooks.register(HOOK, ["k"], "")
        hooks._sending = set(range(webhooks.AT_ONCE))  # type: ignore[arg-type]  # it takes no more itself
        (taken,) = json.loads(await hooks._due(args=[9, 0.2]))
        assert json.loads(await hooks._due(args=[9, 0.2])) == []
        hooks._sending = set()
        await until(lambda: not jobs.exists(keys.WEBHOOKS))
    assert [one.headers["webhook-id"] for one in receiver.asked] == [taken["id"]]
    assert Delivery.model_validate_json(taken["body"]).attempts == 0


async def test_no_name_leads_inside(
    redis_server: RedisServer, jobs: Redis, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    queue, receiver = FakeQueue(), Receiver()
    queue.put("k", "succeeded")
    resolving(monkeypatch, "93.184.216.34", "169.254.169.254")
    async with opened(redis_server, queue, receiver) as hooks:
        await hooks.register(HOOK, ["k"], "")
        await until(lambda: not jobs.exists(keys.WEBHOOKS))
    assert receiver.asked == []


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "192.0.2.1", "198.18.0.1", "240.0.0.1", "::1", "::", "fc00::1", "fe80::1", "ff02::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:db8::1", "fec0::1",
        "::127.0.0.1", "::93.184.216.34", "::ffff:93.184.216.34", "::ffff:0:7f00:1", "::ffff:0:5db8:d822", "::ffff:0:0",
        "64:ff9b:1::1", "64:ff9b:1:7f00:1::", "64:ff9b::a00:1", "64:ff9b::a9fe:a9fe", "100::1", "100:0:0:1::1",
        "2001::1",
        "2001:2::1", "2001:10::1", "2001:20::1", "2001:30::1", "2001:1::1", "2002:5db8:d822::", "2620:4f:8000::1",
        "3fff::1", "5f00::1", "4000::1", "fd00::1", "feb0::1", "ff0e::1", "192.0.0.8", "192.0.0.170", "192.31.196.1",
        "192.52.193.1",
        "192.88.99.1", "192.175.48.1", "198.51.100.1", "203.0.113.1", "233.252.0.1", "100.127.255.255", "0.1.2.3",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    assert not public(ip_address(address))


@pytest.mark.parametrize("address", ["93.184.216.34", "100.128.0.1", "2606:4700::1111", "64:ff9b::5db8:d822"])
def test_addresses_that_are(address: str) -> None:
    assert public(ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example/", "ftp://a.example/", "file:///etc/passwd", "https://", "https:///x", "no url",
        "//a.example",         "https://u:p@a.example/", "https://u@a.example/", "https://a.example:22/", "https://a.example/#x",
        "https://127.0.0.1/", "https://[::1]/", "https://[::ffff:10.0.0.1]/", "https://a.example/" + "x" * 2000,
        "https://a.example:99999/", "gopher://a.example", "https://a\nb.example/", "", "https://[fe80::1%25eth0]/",
    ],
)  # fmt: skip
def test_what_is_no_place_for_a_webhook(url: str) -> None:
    with pytest.raises(Invalid):
        check(url, Rules())


async def test_numbers_that_resolvers_take_for_addresses_lead_nowhere() -> None:
    for url in ("https://2130706433/", "https://0x7f.1/", "https://127.1/", "https://localhost/"):
        with pytest.raises((PlaceRefused, Invalid)):
            await resolve(check(url, Rules()), Rules())


def test_only_listed_hosts_where_some_are() -> None:
    rules = Rules(hosts=("hooks.example",))
    check("https://HOOKS.example/x", rules)
    with pytest.raises(Invalid):
        check("https://other.example/", rules)


async def test_a_receiver_inside_is_reached_where_the_operator_allows_it() -> None:
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 99999999\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, sender() as client:
        status = await send(client, f"http://localhost:{port}/x", {"webhook-id": "1"}, b"{}", OPEN_RULES)
    assert status == 302
    assert len(heard) == 1
    assert f"host: localhost:{port}".encode() in heard[0].lower()


async def test_a_resolver_that_changes_its_mind_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is looked up once, and what was judged is what a socket is opened to."""
    heard: list[bytes] = []
    asked: list[object] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    loop = asyncio.get_running_loop()
    real = loop.getaddrinfo

    async def fickle(host: str | bytes, *more: Any, **named: Any) -> list[Any]:
        if host not in ("hooks.example", b"hooks.example"):
            return await real(host, *more, **named)
        asked.append(host)
        mind = "127.0.0.1" if len(asked) == 1 else "127.0.0.2"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (mind, port))]

    def nowhere(*_: object, **__: object) -> list[Any]:
        raise AssertionError("the name was looked up behind our back")

    monkeypatch.setattr(loop, "getaddrinfo", fickle)
    monkeypatch.setattr(socket, "gethostbyname", nowhere)
    async with server, sender() as client:
        assert await send(client, f"http://hooks.example:{port}/x", {}, b"{}", OPEN_RULES) == 204
        assert len(asked) == 1
        with pytest.raises(PlaceRefused):  # and what it says the next time is judged anew, by who forbids it
            await resolve(httpx.URL(f"https://hooks.example:{port}/"), Rules())
    assert len(heard) == 1
    assert f"host: hooks.example:{port}".encode() in heard[0].lower()


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
