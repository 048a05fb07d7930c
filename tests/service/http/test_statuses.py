"""The matrix of statuses: what leads to each, over HTTP, and that every refusal is a problem document."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import httpx
import pytest

from service.app import create_app
from service.http import api_keys
from service.http.errors import QueueFull, QuotaExceeded
from service.http.problems import KINDS
from service.queue.status import Problem
from service.settings import Settings
from tests.service.fakes import FakeQueue
from workers.explanation.target import ClassTarget

URL = "/api/v1/explanations"
TENSOR = {"shape": [4], "data": [1, 2, 3, 4]}
ASKED = {"model": "table", "method": "gradient", "input": {"tensor": TENSOR}}
NOBODY = "0" * 64
Ask: TypeAlias = Callable[[httpx.AsyncClient, FakeQueue], Awaitable[httpx.Response]]


async def finished(client: httpx.AsyncClient, _: FakeQueue) -> httpx.Response:
    return await client.post(URL, json=ASKED)


async def known_already(client: httpx.AsyncClient, _: FakeQueue) -> httpx.Response:
    made = await client.post(URL, json=ASKED)
    place = made.headers["content-location"]
    return await client.get(place, headers={"if-none-match": made.headers["etag"]})


async def not_finished(client: httpx.AsyncClient, queue: FakeQueue) -> httpx.Response:
    queue.put(NOBODY, "running")
    return await client.get(f"{URL}/{NOBODY}/heatmap.png")


async def finished_already(client: httpx.AsyncClient, queue: FakeQueue) -> httpx.Response:
    queue.put(NOBODY, "succeeded")
    return await client.delete(f"{URL}/{NOBODY}")


async def cancelled(client: httpx.AsyncClient, queue: FakeQueue) -> httpx.Response:
    queue.put(NOBODY, "cancelled")
    return await client.get(f"{URL}/{NOBODY}/receipt")


async def expired(client: httpx.AsyncClient, queue: FakeQueue) -> httpx.Response:
    queue.put(NOBODY, "expired")
    return await client.get(f"{URL}/{NOBODY}")


async def crashed(client: httpx.AsyncClient, queue: FakeQueue) -> httpx.Response:
    queue.put(NOBODY, "failed", Problem(code="worker_crashed", detail="workers died on it"))
    return await client.get(f"{URL}/{NOBODY}")


async def too_late(client: httpx.AsyncClient, queue: FakeQueue) -> httpx.Response:
    queue.put(NOBODY, "failed", Problem(code="deadline_exceeded", detail="it could not start in time"))
    return await client.get(f"{URL}/{NOBODY}")


async def over_quota(client: httpx.AsyncClient, queue: FakeQueue) -> httpx.Response:
    queue.full = QuotaExceeded("too much", 7)
    return await client.post(URL, json=ASKED)


async def full(client: httpx.AsyncClient, queue: FakeQueue) -> httpx.Response:
    queue.full = QueueFull("full", 9)
    return await client.post(URL, json=ASKED)


async def no_redis(client: httpx.AsyncClient, queue: FakeQueue) -> httpx.Response:
    queue.alive = False
    return await client.post(URL, json=ASKED)


async def no_worker(client: httpx.AsyncClient, queue: FakeQueue) -> httpx.Response:
    queue.served = {}
    return await client.post(URL, json=ASKED)


def post(**how: object) -> Ask:
    async def ask(client: httpx.AsyncClient, _: FakeQueue) -> httpx.Response:
        return await client.post(f"{URL}?model=digits", **how)  # type: ignore[arg-type]

    return ask


def get(path: str) -> Ask:
    async def ask(client: httpx.AsyncClient, _: FakeQueue) -> httpx.Response:
        return await client.get(path)

    return ask


async def with_the_wrong_verb(client: httpx.AsyncClient, _: FakeQueue) -> httpx.Response:
    return await client.put(URL)


MATRIX: list[tuple[int, str | None, Ask]] = [
    (200, None, finished),
    (304, None, known_already),
    (400, "malformed_body", post(content=b"{", headers={"content-type": "application/json"})),
    (404, "not_found", get(f"{URL}/{NOBODY}")),
    (404, "not_found", get("/api/v1/models/none")),
    (405, "method_not_allowed", with_the_wrong_verb),
    (406, "not_acceptable", post(json=ASKED, headers={"accept": "audio/mpeg"})),
    (409, "not_finished", not_finished),
    (409, "already_finished", finished_already),
    (409, "cancelled", cancelled),
    (410, "result_expired", expired),
    (413, "input_too_large", post(content=b"x" * 200_000, headers={"content-type": "image/png"})),
    (415, "unsupported_media_type", post(content=b"x", headers={"content-type": "application/zip"})),
    (422, "unknown_model", post(json={**ASKED, "model": "none"})),
    (422, "invalid_image", post(content=b"x", headers={"content-type": "image/png"})),
    (422, "method_not_applicable", post(json={"model": "digits", "method": "grad_cam"})),
    (429, "quota_exceeded", over_quota),
    (431, "head_too_large", post(content=b"x", headers={"x": "y" * 20_000})),
    (500, "worker_crashed", crashed),
    (503, "queue_full", full),
    (503, "queue_unavailable", no_redis),
    (503, "no_worker", no_worker),
    (503, "deadline_exceeded", too_late),
]


def checked(answer: httpx.Response, status: int, code: str) -> None:
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["status"]) == (status, code, status), problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["title"] == KINDS[code].title
    assert problem["type"] == f"urn:whence:problem:{code}"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-request-id"]
    if status in (429, 503):
        assert int(answer.headers["retry-after"]) > 0
    if status == 405:
        assert answer.headers["allow"]


@pytest.mark.parametrize(
    ("status", "code", "ask"), MATRIX, ids=[f"{one[0]}-{one[1]}-{i}" for i, one in enumerate(MATRIX)]
)
async def test_each_status_has_its_cause(
    client: httpx.AsyncClient, queue: FakeQueue, status: int, code: str | None, ask: Ask
) -> None:
    answer = await ask(client, queue)
    if code is None:
        assert answer.status_code == status
        assert answer.headers["etag"]
        assert status == 200 or answer.content == b""
    else:
        checked(answer, status, code)


async def test_those_of_keys_and_hosts(queue: FakeQueue, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    _, token = api_keys.add(file, "ann", frozenset({"explain"}))
    settings = Settings(keys=file, hosts="whence", log_level="CRITICAL")
    transport = httpx.ASGITransport(create_app(settings, queue))
    async with httpx.AsyncClient(transport=transport, base_url="http://whence") as client:
        checked(await client.post(URL, json=ASKED), 401, "key_required")
        mine = {"authorization": f"Bearer {token}"}
        checked(await client.get(URL, headers=mine), 403, "scope_missing")
        checked(await client.get(f"{URL}/{NOBODY}", headers={**mine, "host": "other"}), 400, "host_unknown")
        assert (await client.post(URL, json=ASKED, headers=mine)).status_code == 200


@pytest.mark.parametrize(("status", "code", "ask"), [one for one in MATRIX if one[1] is not None])
async def test_openapi_declares_it_where_it_comes_from(
    client: httpx.AsyncClient, queue: FakeQueue, status: int, code: str, ask: Ask
) -> None:
    """Only what no route sees (a head that is too large, a wrong verb) is declared by none."""
    if status in (405, 431):
        return
    asked = (await ask(client, queue)).request
    queue.alive = True
    paths = (await client.get("/openapi.json")).json()["paths"]
    places = [path for path in paths if _same(path, asked.url.path)]
    declared = {int(one) for place in places for one in paths[place].get(asked.method.lower(), {}).get("responses", {})}
    assert status in declared, (asked.method, places, declared)


def _same(template: str, path: str) -> bool:
    parts, given = template.split("/"), path.split("/")
    return len(parts) == len(given) and all(
        part == one or ("{" in part and one.endswith(part.rpartition("}")[2]))
        for part, one in zip(parts, given, strict=True)
    )


# API.md, section 7: faults that were seen in other systems.


async def test_a_batch_has_a_target_for_each_of_its_rows(client: httpx.AsyncClient, queue: FakeQueue) -> None:
    body = {"instances": [[1, 2, 3, 4], [4, 3, 2, 1]], "parameters": {"method": "gradient", "target": [0, 1]}}
    assert (await client.post("/v1/models/table:explain", json=body)).status_code == 200
    targets = [order.job.target for order in queue.orders if order.job.method.name == "gradient"]
    assert targets == [ClassTarget(index=0), ClassTarget(index=1)]


async def test_every_row_of_a_batch_is_explained_and_none_is_mixed_up_with_a_prediction(
    client: httpx.AsyncClient, queue: FakeQueue
) -> None:
    body = {"instances": [[1, 2, 3, 4], [4, 3, 2, 1], [0, 0, 0, 1]], "parameters": {"method": "gradient"}}
    answer = await client.post("/v1/models/table:explain", json=body)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["explanations"]) == 3
    explained = [order for order in queue.orders if order.job.method.name == "gradient"]
    assert len({order.job.id for order in explained}) == 3
    groups = {(order.job.method.name, order.job.group) for order in queue.orders}
    assert len({group for _, group in groups}) == len({name for name, _ in groups})  # a pass is of one method


async def test_the_key_of_the_cache_holds_the_model(client: httpx.AsyncClient, queue: FakeQueue) -> None:
    first = (await client.post(URL, json=ASKED)).json()["id"]
    queue.served["table"] = queue.served["table"].model_copy(update={"digest": "sha256:" + "f" * 64})
    again = await client.post(URL, json=ASKED)
    assert again.json()["id"] != first
    assert "hit" not in again.headers["cache-status"]
    assert json.loads(json.dumps(queue.orders[-1].job.canonical()))["model"].endswith("f" * 64)
