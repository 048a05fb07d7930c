"""KServe's V1 protocol: every instance is explained, each for its own target; errors in the protocol's own form."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import numpy as np
import pytest

from tests.service.fake_repository import DIGITS
from tests.service.fakes import FakeQueue
from workers.contract import digest_image, digest_tensor
from workers.explanation.target import ClassTarget, RankTarget

TABLE = "/v1/models/table"
ROWS = [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]


def digests(rows: list[Any]) -> list[str]:
    return [digest_tensor(np.array(row, np.float32)) for row in rows]


def error(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    (name,) = answer.json()
    assert name == "error"
    told: str = answer.json()["error"]
    return told


async def test_what_is_served(client: httpx.AsyncClient, queue: FakeQueue) -> None:
    assert (await client.get("/v1/models")).json() == {"models": ["digits", "table"]}
    assert (await client.get("/v1/models/digits")).json() == {"name": "digits", "ready": True}
    assert "digits, table" in error(await client.get("/v1/models/made-up"), 404)
    assert (await client.get("/")).json() == {"status": "alive"}
    queue.alive = False
    assert error(await client.get("/v1/models/digits"), 503)


@pytest.mark.parametrize("name", ["instances", "inputs"])
async def test_every_instance_is_predicted(client: httpx.AsyncClient, queue: FakeQueue, name: str) -> None:
    """As curl -d sends it: without a media type of JSON."""
    answer = await client.post(f"{TABLE}:predict", content=json.dumps({name: ROWS}))
    assert np.shape(answer.json()["predictions"]) == (3, 3)
    assert [order.job.input for order in queue.orders] == digests(ROWS)
    assert {order.job.method.name for order in queue.orders} == {"predict"}


async def test_every_instance_is_explained_for_its_own_target(client: httpx.AsyncClient, queue: FakeQueue) -> None:
    rows = [ROWS[0], {"data": ROWS[1], "target": 1}, {"tensor": ROWS[2]}]
    body = {"instances": rows, "parameters": {"method": {"name": "integrated_gradients", "steps": 7}}}
    answer = (await client.post(f"{TABLE}:explain", json=body)).json()
    explained = [order.job for order in queue.orders if order.job.method.name != "predict"]
    assert [job.input for job in explained] == digests(ROWS)
    assert [job.target for job in explained] == [RankTarget(rank=0), ClassTarget(index=1), RankTarget(rank=0)]
    assert {job.method.to_json()["steps"] for job in explained} == {7}
    assert len(answer["predictions"]) == len(answer["explanations"]) == 3
    for job, told in zip(explained, answer["explanations"], strict=True):
        assert told["id"] == job.id
        assert told["attribution"] == [1, -2, 3, 0]
        assert told["method"]["steps"] == 7
        assert told["checks"][0]["name"] == "completeness"
        assert told["links"]["heatmap"] == f"/api/v1/explanations/{job.id}/heatmap.png"


async def test_one_target_for_all_or_one_for_each(client: httpx.AsyncClient, queue: FakeQueue) -> None:
    for target, indices in ((1, [1, 1, 1]), ([0, 1, 0], [0, 1, 0])):
        queue.orders.clear()
        body = {"instances": ROWS, "parameters": {"target": target, "method": "gradient"}}
        assert (await client.post(f"{TABLE}:explain", json=body)).status_code == 200
        jobs = [order.job for order in queue.orders if order.job.method.name == "gradient"]
        assert [job.target for job in jobs] == [ClassTarget(index=index) for index in indices]


async def test_images_in_every_form(client: httpx.AsyncClient, queue: FakeQueue, png: bytes) -> None:
    text = base64.b64encode(png).decode()
    forms = [text, {"b64": text}, {"data": text}, {"image": text}, {"image_bytes": {"b64": text}, "target": 2}]
    answer = await client.post("/v1/models/digits:explain", json={"instances": forms})
    assert answer.status_code == 200, answer.text
    assert {order.job.input for order in queue.orders} == {digest_image(png)}
    assert {order.job.method.name for order in queue.orders} == {DIGITS.default_method, "predict"}
    assert {order.job.target for order in queue.orders} == {RankTarget(rank=0), ClassTarget(index=2), None}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "instances"),
        ({"instances": [[1, 2, 3, 4]], "inputs": [[1, 2, 3, 4]]}, "instances"),
        ({"instances": [[1, 2, 3, 4]], "steps": 3}, "instances"),
        ({"instances": []}, "1 to 100"),
        ({"instances": {}}, "1 to 100"),
        ({"instances": [[1, 2, 3, 4]] * 51}, "at most 100"),
        ({"instances": [[1, 2, 3, 4], [1, 2, 3]]}, "/instances/1"),
        ({"instances": [[1, 2, 3, None]]}, "/instances/0"),
        ({"instances": [{"made": 1, "up": 2}]}, "data, image"),
        ({"instances": ["AAAA"]}, "these bytes are neither"),
        ({"instances": ROWS, "parameters": {"target": [0]}}, "3 instances and 1 targets"),
        ({"instances": ROWS, "parameters": {"target": [0, 1, 2]}}, "instance 2: "),
        ({"instances": [{"data": [1, 2, 3, 4], "target": [0, 1]}]}, "one target"),
        ({"instances": [{"data": [1, 2, 3, 4], "target": {"top_k": 2}}]}, "one target"),
        ({"instances": ROWS, "parameters": {"method": "made_up"}}, "no such method"),
        ({"instances": ROWS, "parameters": {"method": {"name": "integrated_gradients", "steps": 0}}}, "steps"),
        ({"instances": ROWS, "parameters": {"steps": 3}}, "method"),
        ({"instances": ROWS, "parameters": [1]}, "parameters"),
    ],
)
async def test_what_is_wrong_is_said(client: httpx.AsyncClient, queue: FakeQueue, body: Any, said: str) -> None:
    assert said in error(await client.post(f"{TABLE}:explain", json=body), 400)
    assert queue.orders == []


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"", {}, 400),
        (b"{", {}, 400),
        (b"[1]", {}, 400),
        (b'{"instances": [[NaN]]}', {}, 400),
        (b"0" * 100_001, {}, 413),
        (b"{}", {"content-encoding": "gzip"}, 415),
    ],
)
async def test_bodies_that_cannot_be_read(
    client: httpx.AsyncClient, content: bytes, headers: dict[str, str], status: int
) -> None:
    assert error(await client.post(f"{TABLE}:predict", content=content, headers=headers), status)


async def test_paths_and_verbs_that_are_not_there(client: httpx.AsyncClient) -> None:
    assert error(await client.post("/v1/models/made-up:predict", json={"instances": ROWS}), 404)
    assert error(await client.get("/v1/made/up"), 404)
    assert error(await client.get(f"{TABLE}:explain"), 405)
    assert error(await client.post(f"{TABLE}:regress", json={}), 404)


async def test_what_takes_too_long_has_a_place(client: httpx.AsyncClient, queue: FakeQueue) -> None:
    queue.runs_at_once = False
    answer = await client.post(f"{TABLE}:explain", json={"instances": ROWS})
    assert "6 of the 6" in error(answer, 503)
    assert answer.headers["location"] == f"/api/v1/explanations/{queue.orders[0].job.id}"
    assert int(answer.headers["retry-after"]) > 0
    assert queue.waited == [50]


async def test_terms_come_in_headers_as_for_the_native_api(client: httpx.AsyncClient, queue: FakeQueue) -> None:
    headers = {"whence-priority": "batch", "whence-deadline": "30"}
    await client.post(f"{TABLE}:predict", json={"instances": ROWS}, headers=headers)
    assert {order.priority for order in queue.orders} == {"batch"}
    assert all(order.deadline for order in queue.orders)
    wrong = await client.post(f"{TABLE}:predict", json={"instances": ROWS}, headers={"whence-priority": "made up"})
    assert error(wrong, 400)


async def test_a_fault_of_ours_is_said_in_the_protocols_form(
    client: httpx.AsyncClient, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "submit", None)
    assert "log" in error(await client.post(f"{TABLE}:predict", json={"instances": ROWS}), 500)


async def test_a_failure_is_the_calls(client: httpx.AsyncClient, queue: FakeQueue) -> None:
    queue.runs_at_once = False
    await client.post(f"{TABLE}:predict", json={"instances": ROWS})
    for order in queue.orders:
        queue.put(order.job.id, "expired")
    assert error(await client.post(f"{TABLE}:predict", json={"instances": ROWS}), 410)


@pytest.mark.parametrize("more", [{}, {"id": "a", "outputs": [{"name": "scores"}]}])
async def test_a_tensor_of_the_other_version_is_told_where_it_is_taken(
    client: httpx.AsyncClient, more: dict[str, Any]
) -> None:
    """KServe's gateway takes version 1 alone to an explainer, whatever its predictor speaks."""
    tensor = {"name": "input", "shape": [1, 4], "datatype": "FP32", "data": ROWS[0]}
    told = error(await client.post(f"{TABLE}:explain", json={"inputs": [tensor], **more}), 400)
    assert "/v2/models/table/explain" in told
    assert (await client.post("/v2/models/table/explain", json={"inputs": [tensor]})).status_code == 200
