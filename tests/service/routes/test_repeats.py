"""What was asked for lately is not checked anew, and is still refused, computed or answered as it was at first."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from service.explanations import requests
from service.explanations.orders import make_orders
from service.explanations.requests import Terms, checked_request
from service.http.bodies import Body
from service.queue.served import Served
from service.routes import repeats
from service.routes.repeats import Repeats
from service.settings import Settings
from tests.service.fake_repository import DIGITS
from tests.service.fakes import FakeQueue
from tests.service.routes.bodies import URL, body

Count = Callable[[], int]


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Count:
    """How many requests have been checked in full."""
    seen: list[Any] = []
    whole = requests.checked_request

    def counted(*given: Any) -> Any:
        seen.append(given)
        return whole(*given)

    monkeypatch.setattr(requests, "checked_request", counted)
    return lambda: len(seen)


@pytest.mark.parametrize("raw", [False, True])
async def test_a_repeat_is_checked_once(client: httpx.AsyncClient, png: bytes, checks: Count, raw: bool) -> None:
    given: dict[str, Any] = {"json": body(png)}
    if raw:
        given = {"content": png, "headers": {"content-type": "image/png"}, "params": {"model": "digits"}}
    answers = [await client.post(URL, **given) for _ in range(3)]
    assert checks() == 1
    assert [one.headers["cache-status"] for one in answers[1:]] == ["whence; hit"] * 2
    assert {one.content for one in answers} == {answers[0].content}
    told = {"etag", "content-location", "content-type", "cache-control", "vary", "x-frame-options", "x-request-id"}
    assert told <= answers[1].headers.keys()


async def test_it_is_counted_under_its_route(client: httpx.AsyncClient, png: bytes) -> None:
    for _ in range(2):
        made = await client.post(URL, json=body(png))
    await client.get(made.headers["content-location"])
    told = (await client.get("/metrics")).text
    assert f'whence_requests_total{{method="POST",route="{URL}",status="200"}} 2.0' in told
    assert f'whence_requests_total{{method="GET",route="{URL}/{{id}}",status="200"}} 1.0' in told
    assert 'whence_explanations_total{outcome="hit"} 1.0' in told


async def test_another_version_of_the_model_is_asked(
    client: httpx.AsyncClient, queue: FakeQueue, png: bytes, checks: Count
) -> None:
    first = await client.post(URL, json=body(png))
    queue.served["digits"] = queue.served["digits"].model_copy(update={"digest": "sha256:" + "5" * 64})
    second = await client.post(URL, json=body(png))
    assert second.json()["id"] != first.json()["id"]
    assert second.headers["cache-status"] == "whence; fwd=miss; stored"
    assert checks() == 2


async def test_a_model_that_is_gone_is_unknown(client: httpx.AsyncClient, queue: FakeQueue, png: bytes) -> None:
    asked = {**body(png), "model": "other"}
    queue.served["other"] = queue.served["digits"].model_copy(update={"name": "other"})
    assert (await client.post(URL, json=asked)).status_code == 200
    del queue.served["other"]
    assert (await client.post(URL, json=asked)).status_code == 422


async def test_what_is_stored_no_more_is_computed(client: httpx.AsyncClient, queue: FakeQueue, png: bytes) -> None:
    first = await client.post(URL, json=body(png))
    queue.results.clear()
    queue.known.clear()
    again = await client.post(URL, json=body(png))
    assert again.headers["cache-status"] == "whence; fwd=miss; stored"
    assert again.json()["id"] == first.json()["id"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"whence-deadline": "soon"}, 422),
        ({"whence-priority": "urgent"}, 422),
        ({"accept": "application/zip"}, 406),
        ({"content-encoding": "br"}, 415),
        ({"whence-deadline": "5"}, 200),
    ],
)
async def test_its_headers_are_still_read(
    client: httpx.AsyncClient, png: bytes, headers: dict[str, str], status: int
) -> None:
    await client.post(URL, json=body(png))
    assert (await client.post(URL, json=body(png), headers=headers)).status_code == status


async def test_no_cache_computes_a_repeat_again(client: httpx.AsyncClient, queue: FakeQueue, png: bytes) -> None:
    await client.post(URL, json=body(png))
    await client.post(URL, json=body(png), headers={"cache-control": "no-cache"})
    assert [order.recompute for order in queue.orders] == [False, True]


async def test_the_wait_that_was_asked_for_is_told(client: httpx.AsyncClient, png: bytes) -> None:
    for _ in range(2):
        answer = await client.post(URL, json=body(png), headers={"prefer": "wait=2"})
    assert answer.headers["preference-applied"] == "wait=2"


@pytest.mark.parametrize(
    "more",
    [
        {"method": ["gradient"]},
        {"target": {"top_k": 2}},
        {"method": {"name": "activation_maximization", "steps": 2}, "input": None},
    ],
)
async def test_what_is_no_single_explanation_of_an_input_is_read_each_time(
    client: httpx.AsyncClient, png: bytes, checks: Count, more: dict[str, Any]
) -> None:
    answers = [await client.post(URL, json={**body(png), **more}) for _ in range(2)]
    assert [one.status_code for one in answers] == [200, 200], answers[0].text
    assert checks() == 2


async def test_an_input_by_its_digest_must_still_be_stored(
    client: httpx.AsyncClient, queue: FakeQueue, png: bytes
) -> None:
    made = (await client.post(URL, json=body(png))).json()
    asked = {"model": "digits", "method": "gradient", "input": {"digest": made["input"]}}
    queue.inputs[made["input"]] = "image"
    assert (await client.post(URL, json=asked)).status_code == 200
    queue.inputs.clear()
    assert (await client.post(URL, json=asked)).json()["code"] == "unknown_input"


async def test_what_is_wrong_stays_wrong(client: httpx.AsyncClient, png: bytes) -> None:
    wrong = [await client.post(URL, json={**body(png), "targets": 1}) for _ in range(2)]
    assert [one.json()["code"] for one in wrong] == ["invalid_request"] * 2


async def test_a_body_in_pieces_is_the_same_request(client: httpx.AsyncClient, png: bytes, checks: Count) -> None:
    async def pieces(content: bytes) -> AsyncIterator[bytes]:
        for at in range(0, len(content), 50):
            yield content[at : at + 50]

    content = json.dumps(body(png)).encode()
    headers = {"content-type": "application/json", "content-length": str(len(content))}
    answers = [await client.post(URL, content=pieces(content), headers=headers) for _ in range(2)]
    assert [one.status_code for one in answers] == [200, 200]
    assert checks() == 1


async def test_a_body_that_is_too_long_is_refused(client: httpx.AsyncClient) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b" " * 10_000

    headers = {"content-type": "application/json", "content-length": "90000"}
    answer = await client.post(URL, content=pieces(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "input_too_large")


async def test_only_the_latest_are_remembered(
    client: httpx.AsyncClient, png: bytes, checks: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeats, "MOST", 2)
    for target in (0, 1, 0, 2, 0, 1):  # 1 is forgotten for 2, since 0 was asked for after it
        assert (await client.post(URL, json=body(png, target=target))).status_code == 200
    assert checks() == 4


def test_what_was_checked_against_other_models_is_not_remembered(png: bytes) -> None:
    known, before, now = Repeats(), Served(), Served(cards={"digits": DIGITS})
    checked = checked_request(Body({"model": "digits"}, png, len(png)), Terms(None, False, "1"), now, Settings())
    orders = make_orders(checked, checked.input, 1)
    asked = known.of(b"image/png", b"", b"1", before)
    asked.note(checked, orders, now)
    again = known.of(b"image/png", b"", b"1", now)
    assert again.find() is None
    again.note(checked, orders, now)
    assert again.find() == orders[0].job.id


def test_the_parts_of_a_request_are_kept_apart() -> None:
    known, served = Repeats(), Served()
    assert (
        known.of(b"a", b"bc", b"", served) != known.of(b"ab", b"c", b"", served) != known.of(b"ab", b"", b"c", served)
    )


async def test_without_redis_a_hit_is_told_so_at_once(client: httpx.AsyncClient, queue: FakeQueue, png: bytes) -> None:
    made = await client.post(URL, json=body(png))
    queue.alive = False
    for answer in (await client.post(URL, json=body(png)), await client.get(made.headers["content-location"])):
        assert (answer.status_code, answer.json()["code"]) == (503, "queue_unavailable")
        assert "retry-after" in answer.headers
