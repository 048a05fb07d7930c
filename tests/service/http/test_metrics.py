"""What the API tells Prometheus: requests, problems by code, the queue's measures."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families

from service.http.errors import QueueFull
from tests.service.fakes import FakeQueue

URL = "/api/v1/explanations?model=digits"
PNG = {"content-type": "image/png"}


async def told(client: httpx.AsyncClient) -> dict[tuple[str, ...], float]:
    """By name and the values of the labels."""
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.text)
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


async def test_explanations_are_counted_by_what_became_of_them(client: httpx.AsyncClient, png: bytes) -> None:
    for _ in range(3):
        assert (await client.post(URL, content=png, headers=PNG)).status_code == 200
    found = await told(client)
    assert found["whence_explanations_total", "created"] == 1
    assert found["whence_explanations_total", "hit"] == 2
    assert found["whence_requests_total", "POST", "/api/v1/explanations", "200"] == 3
    assert found["whence_request_seconds_count", "/api/v1/explanations"] == 3


async def test_what_is_refused_is_counted_by_its_reason(
    client: httpx.AsyncClient, queue: FakeQueue, png: bytes
) -> None:
    queue.full = QueueFull("full", 3)
    assert (await client.post(URL, content=png, headers=PNG)).status_code == 503
    assert (await client.post(URL, content=b"x" * 200_000, headers=PNG)).status_code == 413
    assert (await client.post(f"{URL}&method=no_such", content=png, headers=PNG)).status_code == 422
    assert (await client.get("/nowhere")).status_code == 404
    found = await told(client)
    codes = ("queue_full", "input_too_large", "unknown_method", "not_found")
    assert {code: found["whence_problems_total", code] for code in codes} == dict.fromkeys(codes, 1)


async def test_paths_that_nobody_serves_are_one_series(client: httpx.AsyncClient) -> None:
    for path in ("/a", "/b", "/c"):
        await client.get(path)
    found = await told(client)
    assert found["whence_requests_total", "GET", "unmatched", "404"] == 3


async def test_the_measures_are_told(client: httpx.AsyncClient) -> None:
    found = await told(client)
    assert found["whence_redis_up",] == 1
    assert found["whence_workers", "cpu"] == 1
    assert found["whence_models",] == 2
    assert found["whence_queue_jobs", "interactive"] == 3
    assert found["whence_queue_seconds", "batch"] == 60
    assert found["whence_queue_oldest_seconds", "interactive"] == 0.5
    assert found["whence_queue_oldest_seconds", "batch"] == 0
    assert found["whence_running_jobs",] == 2
    assert found["whence_redis_memory_bytes", "jobs"] == 1000
    assert found["whence_redis_evicted_keys_total", "cache"] == 7


async def test_without_redis_what_is_counted_is_told_all_the_same(client: httpx.AsyncClient, queue: FakeQueue) -> None:
    await client.get("/nowhere")
    queue.alive = False
    found = await told(client)
    assert found["whence_redis_up",] == 0
    assert found["whence_problems_total", "not_found"] == 1
    assert ("whence_queue_jobs", "interactive") not in found
