"""The list of explanations: newest first, by pages."""

from __future__ import annotations

import httpx
import pytest

from service.app import create_app
from service.queue.queue import Queue
from service.settings import Settings
from tests.orders import order
from tests.redis_server import RedisServer
from tests.service.fakes import FakeQueue

URL = "/api/v1/explanations"
IDS = [f"{number:064x}" for number in range(5)]


@pytest.fixture(autouse=True)
def _five(queue: FakeQueue) -> None:
    for number, key in enumerate(IDS):
        queue.put(key, "queued" if number % 2 else "succeeded")


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()["explanations"]]


async def test_the_newest_come_first(client: httpx.AsyncClient) -> None:
    answer = await client.get(URL)
    assert ids(answer) == IDS[::-1]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["explanations"][0]["links"] == {"self": f"{URL}/{IDS[4]}"}
    assert answer.json()["explanations"][1]["links"]["events"] == f"{URL}/{IDS[3]}/events"
    assert answer.json()["links"] == {"self": URL}


async def test_the_pages_together_are_the_list(client: httpx.AsyncClient) -> None:
    found, place = [], f"{URL}?limit=2&model=digits"
    while place:
        answer = await client.get(place)
        assert "model=digits" in answer.json()["links"]["self"]
        found.append(ids(answer))
        place = answer.json()["links"].get("next")
    assert found == [IDS[:2:-1], IDS[2:0:-1], IDS[:1]]


async def test_the_list_is_sifted_by_state_and_by_model(client: httpx.AsyncClient) -> None:
    assert ids(await client.get(URL, params={"status": "queued"})) == [IDS[3], IDS[1]]
    assert ids(await client.get(URL, params={"model": "nothing"})) == []


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=x", "status=lost", "cursor=../x", "cursor=" + "9" * 300, "limit=1e9"]
)
async def test_what_is_wrong_is_named(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(f"{URL}?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_parameter")
    assert answer.json()["errors"][0]["pointer"] == "/" + query.partition("=")[0]


async def test_the_list_of_a_real_queue(redis_server: RedisServer) -> None:
    async with Queue(redis_server.url) as queue:
        asked = [order(number) for number in range(3)]
        for one in asked:
            await queue.submit([one])
        transport = httpx.ASGITransport(create_app(Settings(log_level="CRITICAL"), queue))
        async with httpx.AsyncClient(transport=transport, base_url="http://whence") as client:
            first = await client.get(URL, params={"limit": 2, "status": "queued"})
            second = await client.get(first.json()["links"]["next"])
            assert ids(first) + ids(second) == [one.job.id for one in reversed(asked)]
            assert "next" not in second.json()["links"]
            wrong = await client.get(URL, params={"cursor": "7"})
            assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/cursor")


async def test_without_redis_it_says_so(client: httpx.AsyncClient, queue: FakeQueue) -> None:
    queue.alive = False
    answer = await client.get(URL)
    assert (answer.status_code, answer.json()["code"]) == (503, "queue_unavailable")
