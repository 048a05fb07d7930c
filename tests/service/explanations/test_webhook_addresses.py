"""Webhooks go to public addresses alone, whatever a name resolves to."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address
from typing import Any

import httpx
import pytest
from redis import Redis

from service.explanations.webhook_addresses import PlaceRefused, Rules, check, public, resolve
from service.explanations.webhook_delivery import send, sender
from service.http.errors import Invalid
from tests.redis_server import RedisServer
from tests.service.explanations.webhook_receiver import HOOK, Receiver, opened, resolving, until
from tests.service.fakes import FakeQueue
from workers.jobs import keys

OPEN_RULES = Rules(inside=True)


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
        "https://xn--/", "https://xn--a.example/", "https://a..b/", "https://.a.example/", "https://.../",
        "https://" + "a" * 64 + ".example/", "https://" + "a." * 127 + "example/", "https://a%00b.example/",
        "https://a%2f.example/", "https://*.example/", "https://0177.0.0.1/", "https://127\u30020\u30020\u30021/",
        "https://a.example\\@127.0.0.1/", "https://\uff11\uff12\uff17.0.0.1/", "https://[::1%25lo]/",
        "https://a.example:0/", "https://a.example;127.0.0.1/", "https://\u202e127.0.0.1/",
    ],
)  # fmt: skip
def test_what_is_no_place_for_a_webhook(url: str) -> None:
    with pytest.raises(Invalid):
        check(url, Rules())


async def test_numbers_that_resolvers_take_for_addresses_lead_nowhere() -> None:
    for url in (
        "https://2130706433/",
        "https://0x7f.1/",
        "https://127.1/",
        "https://localhost/",
        "https://0x7f000001/",
        "https://017700000001/",
        "https://0/",
    ):
        with pytest.raises((PlaceRefused, Invalid)):
            await resolve(check(url, Rules()), Rules())


async def test_the_name_that_is_looked_up_is_the_one_that_the_certificate_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Python makes of a sharp s, when it looks it up itself, is another name, with another owner."""
    asked: list[object] = []

    async def listening(host: object, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", 443))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", listening)
    assert await resolve(check("https://fa\u00df.example/", Rules()), Rules()) == "93.184.216.34"
    assert asked == ["xn--fa-hia.example"]


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
