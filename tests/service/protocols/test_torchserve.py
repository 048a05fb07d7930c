"""TorchServe's inference API, in the forms of its own documentation."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import numpy as np
import pytest

from tests.service.fakes import FakeQueue
from workers.contract import digest_image, digest_tensor, encode_npy
from workers.explanation.target import ClassTarget, RankTarget

ROW = [1, 2, 3, 4]


def error(answer: httpx.Response, status: int, kind: str) -> str:
    told = answer.json()
    assert (answer.status_code, told["code"], told["type"]) == (status, status, kind), told
    assert told.keys() == {"code", "type", "message"}
    message: str = told["message"]
    return message


async def test_ping(client: httpx.AsyncClient, queue: FakeQueue) -> None:
    assert (await client.get("/ping")).json() == {"status": "Healthy"}
    queue.alive = False
    error(await client.get("/ping"), 503, "ServiceUnavailableException")


async def test_a_file_is_put_as_curl_does(client: httpx.AsyncClient, queue: FakeQueue, png: bytes) -> None:
    """curl http://localhost:8080/predictions/densenet161 -T kitten.jpg: a PUT without a media type."""
    predicted = (await client.put("/predictions/digits", content=png)).json()
    assert predicted == {"one": 0.7}
    explained = (await client.put("/explanations/digits", content=png)).json()
    assert np.shape(explained) == (1, 8, 8)
    assert [order.job.input for order in queue.orders] == [digest_image(png)] * 2
    assert [order.job.target for order in queue.orders] == [None, RankTarget(rank=0)], "TorchServe took class 0"


@pytest.mark.parametrize("part", ["data", "body", "input"])
async def test_a_form(client: httpx.AsyncClient, queue: FakeQueue, png: bytes, part: str) -> None:
    """curl -X POST http://localhost:8080/explanations/mnist -F "data=@0.png" -F target=0."""
    fields = {"target": "2", "method": "integrated_gradients", "params": '{"steps": 7}'}
    answer = await client.post("/explanations/digits", files={part: png}, data=fields)
    assert np.shape(answer.json()) == (1, 8, 8)
    (order,) = queue.orders
    assert order.job.target == ClassTarget(index=2)
    assert order.job.method.to_json()["steps"] == 7


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(ROW),
        json.dumps({"data": ROW}),
        json.dumps({"body": {"shape": [4], "data": ROW}}),
        encode_npy(np.array(ROW, np.float32)),
    ],
)
async def test_one_instance_gets_one_answer(client: httpx.AsyncClient, queue: FakeQueue, body: Any) -> None:
    answer = await client.post("/explanations/table", content=body, params={"target": "1", "method": "gradient"})
    assert answer.json() == [1, -2, 3, 0]
    (order,) = queue.orders
    assert order.job.input == digest_tensor(np.array(ROW, np.float32))
    assert order.job.target == ClassTarget(index=1)


@pytest.mark.parametrize(
    "body",
    [
        {"instances": [ROW, [5, 6, 7, 8]], "target": [1, 0]},
        {"instances": [{"data": ROW, "target": 1}, {"data": [5, 6, 7, 8], "target": 0}]},
        [{"data": ROW, "target": 1}, {"data": [5, 6, 7, 8], "target": 0}],
    ],
)
async def test_a_list_gets_a_list(client: httpx.AsyncClient, queue: FakeQueue, body: Any) -> None:
    assert (await client.post("/explanations/table", json=body)).json() == [[1, -2, 3, 0]] * 2
    assert [order.job.target for order in queue.orders] == [ClassTarget(index=1), ClassTarget(index=0)]
    assert len({order.job.input for order in queue.orders}) == 2


async def test_a_list_of_one_gets_a_list_of_one(client: httpx.AsyncClient, png: bytes) -> None:
    one = {"instances": [{"data": base64.b64encode(png).decode()}]}
    assert np.shape((await client.post("/explanations/digits", json=one)).json()) == (1, 1, 8, 8)
    assert (await client.post("/predictions/digits", json=one)).json() == [{"one": 0.7}]


async def test_outputs_where_there_are_no_labels(client: httpx.AsyncClient) -> None:
    assert (await client.post("/predictions/table", json=ROW)).json() == [0.1, 0.7, 0.2]


@pytest.mark.parametrize(
    ("content", "query", "said"),
    [
        (b"", {}, "empty"),
        (b"{", {}, "no JSON"),
        (b"made up", {}, "these bytes are neither"),
        (b'{"data": [1]}', {}, "shape"),
        (b'{"data": [1, 2, 3, 4], "steps": 3}', {}, "method, target, parameters, params"),
        (b'{"data": [1, 2, 3, 4], "body": 3}', {}, "data"),
        (b'{"instances": 3}', {}, "list"),
        (b"[1, 2, 3, 4]", {"steps": "3"}, "method, target, parameters, params"),
        (b"[1, 2, 3, 4]", {"params": "{}", "target": "made up"}, "label"),
        (b"[1, 2, 3, 4]", {"params": '{"steps": 3}'}, "method"),
        (b"[1, 2, 3, 4]", {"target": "[0, 1]"}, "one target"),
    ],
)
async def test_what_is_wrong_is_said(
    client: httpx.AsyncClient, queue: FakeQueue, content: bytes, query: dict[str, str], said: str
) -> None:
    answer = await client.post("/explanations/table", content=content, params=query)
    assert said in error(answer, 400, "BadRequestException")
    assert queue.orders == []


async def test_forms_that_are_wrong(client: httpx.AsyncClient, png: bytes) -> None:
    for files in ({"made": png}, {"data": png, "body": png}):
        error(await client.post("/explanations/digits", files=files), 400, "BadRequestException")
    broken = {"content-type": "multipart/form-data"}
    error(await client.post("/explanations/digits", content=b"x", headers=broken), 400, "BadRequestException")


async def test_what_is_not_there(client: httpx.AsyncClient, queue: FakeQueue, png: bytes) -> None:
    error(await client.put("/predictions/made-up", content=png), 404, "ModelNotFoundException")
    error(await client.put("/predictions/digits/2", content=png), 404, "ResourceNotFoundException")
    error(await client.get("/predictions/digits"), 405, "MethodNotAllowedException")
    queue.runs_at_once = False
    late = await client.put("/explanations/digits", content=png)
    error(late, 503, "ServiceUnavailableException")
    assert late.headers["location"] == f"/api/v1/explanations/{queue.orders[0].job.id}"
