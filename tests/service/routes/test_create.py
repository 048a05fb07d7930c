"""POST /api/v1/explanations: what is sent, what is queued, what is answered."""

from __future__ import annotations

import json
from typing import Any

import httpx
import numpy as np
import pytest
from safetensors.numpy import save

from tests.service.fakes import FakeQueue
from tests.service.routes.bodies import URL, body
from workers.contract import digest_image, digest_tensor, encode_npy


async def test_three_bodies_are_one_explanation(client: httpx.AsyncClient, queue: FakeQueue, png: bytes) -> None:
    answers = [
        await client.post(URL, json=body(png, target=1)),
        await client.post(
            URL,
            files={"input": ("seven.png", png)},
            data={"request": json.dumps({"model": "digits", "method": "gradient", "target": 1})},
        ),
        await client.post(
            URL, files={"input": ("seven.png", png)}, data={"model": "digits", "method": "gradient", "target": "one"}
        ),
        await client.post(
            URL, content=png, headers={"content-type": "image/png"}, params={"model": "digits", "target": "1"}
        ),
    ]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert queue.orders[0].input is not None
    assert queue.orders[0].input.digest == digest_image(png)


async def test_parameters_reach_the_job_and_defaults_are_filled(
    client: httpx.AsyncClient, queue: FakeQueue, png: bytes
) -> None:
    query = {"model": "digits", "method": "integrated_gradients", "params": '{"steps": 7}'}
    answer = await client.post(URL, content=png, headers={"content-type": "image/png"}, params=query)
    assert answer.json()["method"]["steps"] == 7
    assert queue.orders[0].job.method.to_json().keys() == answer.json()["method"].keys() > {"name", "steps"}


async def test_a_repeat_is_a_hit_and_says_so(client: httpx.AsyncClient, png: bytes) -> None:
    first = await client.post(URL, json=body(png))
    again = await client.post(URL, json=body(png))
    assert first.headers["cache-status"] == "whence; fwd=miss; stored"
    assert again.headers["cache-status"] == "whence; hit"
    assert again.headers["content-location"] == f"{URL}/{again.json()['id']}"
    assert again.headers["etag"] == first.headers["etag"]
    assert again.content == first.content


@pytest.mark.parametrize("accept", ["application/json", "image/png", "application/x-npy", "text/html"])
async def test_a_repeat_is_one_reading(client: httpx.AsyncClient, queue: FakeQueue, png: bytes, accept: str) -> None:
    await client.post(URL, json=body(png))
    queue.reads, queue.waited = 0, []
    again = await client.post(URL, json=body(png), headers={"accept": accept})
    assert again.headers["content-type"].startswith(accept)
    assert (queue.reads, queue.waited) == (1, [])


async def test_no_cache_computes_again(client: httpx.AsyncClient, queue: FakeQueue, png: bytes) -> None:
    await client.post(URL, json=body(png), headers={"cache-control": "no-cache"})
    assert queue.orders[0].recompute


async def test_work_that_takes_longer_is_accepted(client: httpx.AsyncClient, queue: FakeQueue, png: bytes) -> None:
    queue.runs_at_once = False
    answer = await client.post(URL, json=body(png), headers={"accept": "image/png"})
    assert answer.status_code == 202
    assert answer.headers["location"] == f"{URL}/{answer.json()['id']}"
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["status"] == "queued"
    assert answer.json()["created_at"] == "2023-11-14T22:13:20.000Z"
    joined = await client.post(URL, json=body(png))
    assert joined.status_code == 202
    assert joined.json()["id"] == answer.json()["id"]


async def test_joining_what_then_finishes_is_told_as_collapsed(
    client: httpx.AsyncClient, queue: FakeQueue, png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await client.post(URL, json=body(png))
    held = dict(queue.results)
    queue.results.clear()

    async def finish(ids: list[str], *_: object) -> Any:
        queue.results.update(held)
        return [queue.known[ids[0]]]

    monkeypatch.setattr(queue, "wait", finish)
    joined = await client.post(URL, json=body(png))
    assert (joined.status_code, joined.headers["cache-status"]) == (200, "whence; fwd=miss; collapsed")
    assert joined.content == first.content


@pytest.mark.parametrize(
    ("prefer", "wait", "applied"),
    [
        (None, 5.0, None),
        ("wait=2", 2.0, "wait=2"),
        ("wait=9999", 60.0, "wait=60"),
        ("respond-async", None, "respond-async"),
        ("respond-async, wait=3", 3.0, "respond-async, wait=3"),
        ("wait=soon", 5.0, None),
        ("handling=lenient", 5.0, None),
    ],
)
async def test_prefer_says_how_long_to_wait(
    client: httpx.AsyncClient, queue: FakeQueue, png: bytes, prefer: str | None, wait: float | None, applied: str | None
) -> None:
    queue.runs_at_once = False
    answer = await client.post(URL, json=body(png), headers={} if prefer is None else {"prefer": prefer})
    assert queue.waited == ([] if wait is None else [wait])
    assert answer.headers.get("preference-applied") == applied


async def test_several_methods_and_targets_are_one_explanation_each(
    client: httpx.AsyncClient, queue: FakeQueue, png: bytes
) -> None:
    request = body(png, method=["gradient", {"name": "lrp"}, "predict"], target={"top_k": 2})
    answer = await client.post(URL, json=request)
    found = answer.json()["explanations"]
    assert answer.status_code == 200
    assert [one["method"]["name"] for one in found] == ["gradient", "gradient", "lrp", "lrp", "predict"]
    assert len({one["id"] for one in found}) == 5
    assert len({order.request_id for order in queue.orders}) == 1


async def test_a_list_is_open_while_one_of_it_is(client: httpx.AsyncClient, queue: FakeQueue, png: bytes) -> None:
    await client.post(URL, json=body(png, target=0))
    queue.runs_at_once = False
    answer = await client.post(URL, json=body(png, target=[0, 1]))
    assert answer.status_code == 202
    assert [one["status"] for one in answer.json()["explanations"]] == ["succeeded", "queued"]


async def test_json_npy_and_safetensors_of_a_tensor_are_one_input(client: httpx.AsyncClient, queue: FakeQueue) -> None:
    values = np.arange(64, dtype=np.float32).reshape(1, 8, 8)
    tensor = {"shape": [1, 1, 8, 8], "dtype": "float32", "data": values.ravel().tolist()}
    await client.post(URL, json={"model": "digits", "input": {"tensor": tensor}})
    for content in (encode_npy(values), encode_npy(values[None].astype(np.float64)), save({"x": values})):
        headers = {"content-type": "application/octet-stream"}
        answer = await client.post(URL, content=content, headers=headers, params={"model": "digits"})
        assert answer.status_code == 200, answer.text
    assert {order.input.digest for order in queue.orders if order.input} == {digest_tensor(values)}


@pytest.mark.parametrize(("content", "code", "said"), [
    (b"1,2,3,4\n", "invalid_tensor", "these bytes are neither; rows of a .csv go as a dataset"),
    (None, "invalid_image", "the model takes a tensor of the shape [4], not an image"),
])  # fmt: skip
async def test_bytes_that_are_no_tensor_are_told_for_what_they_are(
    client: httpx.AsyncClient, png: bytes, content: bytes | None, code: str, said: str
) -> None:
    headers = {"content-type": "application/octet-stream"}
    answer = await client.post(URL, content=content or png, headers=headers, params={"model": "table"})
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert said in answer.json()["detail"]


async def test_an_input_that_is_stored_is_named_by_its_digest(
    client: httpx.AsyncClient, queue: FakeQueue, png: bytes
) -> None:
    digest = digest_image(png)
    request = {"model": "digits", "input": {"digest": digest}}
    unknown = await client.post(URL, json=request)
    assert (unknown.status_code, unknown.json()["code"]) == (422, "unknown_input")
    queue.inputs[digest] = "image"
    found = await client.post(URL, json=request)
    sent = await client.post(URL, json={"model": "digits", "input": body(png)["input"]})
    assert found.json()["id"] == sent.json()["id"]


async def test_a_deadline_is_counted_from_now(client: httpx.AsyncClient, queue: FakeQueue, png: bytes) -> None:
    await client.post(URL, json=body(png), headers={"whence-deadline": "30"})
    deadline = queue.orders[0].deadline
    assert deadline is not None
    assert deadline > 1.7e9
    wrong = await client.post(URL, json=body(png), headers={"whence-deadline": "soon"})
    assert wrong.status_code == 422


@pytest.mark.parametrize(
    ("said", "priority"), [(None, "interactive"), ("batch", "batch"), ("Interactive", "interactive")]
)
async def test_the_order_says_whose_it_is_and_how_urgent(
    client: httpx.AsyncClient, queue: FakeQueue, png: bytes, said: str | None, priority: str
) -> None:
    await client.post(URL, json=body(png), headers={} if said is None else {"whence-priority": said})
    assert (queue.orders[0].priority, queue.orders[0].caller) == (priority, "")


async def test_a_priority_there_is_none_of_is_refused(client: httpx.AsyncClient, queue: FakeQueue, png: bytes) -> None:
    answer = await client.post(URL, json=body(png), headers={"whence-priority": "now"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert "interactive or batch" in answer.json()["detail"]
    assert queue.orders == []
