"""The Open Inference Protocol, version 2: rows with targets of their own, tensors as JSON and binary."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.http.errors import Invalid, MalformedBody
from service.protocols.tensor_encoding import read_request
from tests.service.fakes import FakeQueue
from tests.service.protocols.test_kserve import digests, error
from workers.contract import InvalidTensor, digest_image
from workers.explanation.model_state import ModelState
from workers.explanation.target import ClassTarget, RankTarget, UnitTarget

ROWS = [[1, 2, 3, 4], [5, 6, 7, 8]]
INPUT = {"name": "input", "shape": [2, 4], "datatype": "FP32", "data": [1, 2, 3, 4, 5, 6, 7, 8]}
TARGET = {"name": "target", "shape": [2], "datatype": "INT64", "data": [1, 0]}


def body(*inputs: Any, **rest: Any) -> dict[str, Any]:
    return {"inputs": list(inputs), **rest}


def binary(head: dict[str, Any], *data: bytes) -> dict[str, Any]:
    text = json.dumps(head).encode()
    return {"content": text + b"".join(data), "headers": {"Inference-Header-Content-Length": str(len(text))}}


async def test_the_server(client: httpx.AsyncClient, queue: FakeQueue) -> None:
    extensions = ["binary_tensor_data", "classification", "model_repository"]
    assert (await client.get("/v2")).json()["extensions"] == extensions
    assert (await client.get("/v2/health/live")).json() == {"live": True}
    assert (await client.get("/v2/health/ready")).json() == {"ready": True}
    assert (await client.get("/v2/models")).json() == {"models": ["digits", "table"]}
    queue.alive = False
    assert error(await client.get("/v2/health/ready"), 503)
    assert (await client.get("/v2/health/live")).status_code == 200


async def test_models_and_virtual_models(client: httpx.AsyncClient) -> None:
    plain = (await client.get("/v2/models/digits")).json()
    assert [(one["name"], one["datatype"], one["shape"]) for one in plain["inputs"]] == [
        ("input", "FP32", [-1, 1, 8, 8]),
        ("image", "BYTES", [-1]),
        ("target", "INT64", [-1]),
    ]
    assert plain["outputs"][0] == {"name": "scores", "datatype": "FP32", "shape": [-1, 3]}
    virtual = (await client.get("/v2/models/table~lrp/versions/1")).json()
    assert virtual["outputs"][0] == {"name": "attribution", "datatype": "FP32", "shape": [-1, 4]}
    assert (await client.get("/v2/models/digits~lrp/ready")).json() == {"name": "digits~lrp", "ready": True}
    assert "no spatial axes" in error(await client.get("/v2/models/digits~grad_cam/ready"), 400)
    for missing in ("made-up", "digits~made_up", "digits~", "digits/versions/2"):
        assert error(await client.get(f"/v2/models/{missing}"), 404)


async def test_the_repository(client: httpx.AsyncClient, queue: FakeQueue) -> None:
    index = (await client.post("/v2/repository/index")).json()
    assert index[0] == {"name": "digits", "version": "1", "state": "READY", "reason": ""}
    assert (await client.post("/v2/repository/models/digits/load", json={})).json() == {"name": "digits", "load": True}
    assert "operator" not in error(await client.post("/v2/repository/models/made-up/load"), 404)
    assert (await client.post("/v2/repository/models/digits/unload")).json() == {"name": "digits", "unload": True}
    queue.told.append(ModelState(name="late", state="loading", reason="they are being written"))
    queue.told.append(ModelState(name="gone", state="leaving", digest="sha256:0", card="none"))
    index = (await client.post("/v2/repository/index")).json()
    assert {one["name"]: (one["state"], one["reason"]) for one in index} == {
        "digits": ("UNAVAILABLE", "unloaded"),
        "gone": ("UNLOADING", ""),
        "late": ("LOADING", "they are being written"),
        "table": ("READY", ""),
    }
    ready = (await client.post("/v2/repository/index", json={"ready": True})).json()
    assert [one["name"] for one in ready] == ["table"]
    assert error(await client.get("/v2/models/digits/ready"), 503)
    assert (await client.post("/v2/repository/models/digits/load")).status_code == 200
    assert (await client.get("/v2/models/digits/ready")).status_code == 200
    assert error(await client.post("/v2/repository/index", content=b"{"), 400)


async def test_rows_are_predicted(client: httpx.AsyncClient, queue: FakeQueue) -> None:
    answer = (await client.post("/v2/models/table/infer", json=body(INPUT, id="a"))).json()
    scores, explanation = answer["outputs"]
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("a", "table", "1")
    assert scores == {"name": "scores", "datatype": "FP32", "shape": [2, 3], "data": [0.1, 0.7, 0.2] * 2}
    assert [json.loads(one)["id"] for one in explanation["data"]] == [order.job.id for order in queue.orders]
    assert [order.job.input for order in queue.orders] == digests(ROWS)


@pytest.mark.parametrize(
    "path",
    [
        "table~integrated_gradients/infer",
        "table/explain",
        "table:explain",
        "table/versions/1/explain",
    ],
)
async def test_rows_are_explained_each_for_its_target(client: httpx.AsyncClient, queue: FakeQueue, path: str) -> None:
    asked = body(INPUT, TARGET, parameters={"whence.steps": 7}, outputs=[{"name": "attribution"}])
    (array,) = (await client.post(f"/v2/models/{path}", json=asked)).json()["outputs"]
    assert array == {"name": "attribution", "datatype": "FP32", "shape": [2, 4], "data": [1, -2, 3, 0] * 2}
    assert [order.job.input for order in queue.orders] == digests(ROWS)
    assert [order.job.target for order in queue.orders] == [ClassTarget(index=1), ClassTarget(index=0)]
    assert [order.job.method.to_json()["steps"] for order in queue.orders] == [7, 7]


async def test_parameters_are_flattened(client: httpx.AsyncClient, queue: FakeQueue) -> None:
    given = {
        "whence.method": "smooth_grad",
        "whence.of": "integrated_gradients",
        "whence.of.steps": 9,
        "whence.samples": 5,
        "whence.target": '{"layer": "conv", "channel": 2}',
        "timeout": 5_000_000,
    }
    image = {"name": "input", "shape": [1, 1, 8, 8], "datatype": "FP32", "data": [0.5] * 64}
    answer = await client.post("/v2/models/digits/explain", json=body(image, parameters=given))
    assert answer.status_code == 200, answer.text
    (order,) = queue.orders
    told = order.job.method.to_json()
    assert (told["name"], told["samples"], told["of"]["name"], told["of"]["steps"]) == (
        "smooth_grad",
        5,
        "integrated_gradients",
        9,
    )
    assert order.job.target == UnitTarget(layer="conv", channel=2)
    assert order.deadline is not None


async def test_binary_both_ways(client: httpx.AsyncClient, queue: FakeQueue) -> None:
    data = np.array(ROWS, "<f4").tobytes()
    labels = b"\1\0\0\0" + b"1" + b"\1\0\0\0" + b"0"
    head = body(
        {"name": "input", "shape": [2, 4], "datatype": "FP32", "parameters": {"binary_data_size": 32}},
        {"name": "target", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": 10}},
        outputs=[{"name": "explanation"}, {"name": "attribution", "parameters": {"binary_data": True}}],
    )
    answer = await client.post("/v2/models/table~gradient/infer", **binary(head, data, labels))
    assert answer.headers["content-type"] == "application/octet-stream"
    length = int(answer.headers["inference-header-content-length"])
    told = json.loads(answer.content[:length])
    assert "data" in told["outputs"][0]
    assert told["outputs"][1]["parameters"] == {"binary_data_size": 32}
    assert np.frombuffer(answer.content[length:], "<f4").tolist() == [1, -2, 3, 0] * 2
    assert [order.job.target for order in queue.orders] == [ClassTarget(index=1), ClassTarget(index=0)]
    assert [order.job.input for order in queue.orders] == digests(ROWS)


async def test_all_outputs_binary(client: httpx.AsyncClient) -> None:
    asked = body(INPUT, parameters={"binary_data_output": True})
    answer = await client.post("/v2/models/table/infer", json=asked)
    length = int(answer.headers["inference-header-content-length"])
    sizes = [one["parameters"]["binary_data_size"] for one in json.loads(answer.content[:length])["outputs"]]
    assert len(answer.content) == length + sum(sizes)
    rest = answer.content[length + sizes[0] :]
    first = int.from_bytes(rest[:4], "little")
    assert json.loads(rest[4 : 4 + first])["kind"] == "scores"


@pytest.mark.parametrize("as_json", [True, False])
async def test_images(client: httpx.AsyncClient, queue: FakeQueue, png: bytes, as_json: bool) -> None:
    image: dict[str, Any] = {"name": "image", "shape": [2], "datatype": "BYTES"}
    if as_json:
        sent: dict[str, Any] = {"json": body({**image, "data": [base64.b64encode(png).decode()] * 2})}
    else:
        packed = (len(png).to_bytes(4, "little") + png) * 2
        sent = binary(body({**image, "parameters": {"binary_data_size": len(packed)}}), packed)
    assert (await client.post("/v2/models/digits~lrp/infer", **sent)).status_code == 200
    assert {order.job.input for order in queue.orders} == {digest_image(png)}
    assert {order.job.target for order in queue.orders} == {RankTarget(rank=0)}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "/inputs"),
        (body(), "/inputs"),
        (body({**INPUT, "name": "made up"}), "input and image"),
        (body(TARGET), "input and image"),
        (body({**INPUT, "shape": [8]}), "[-1, 4]"),
        (body({**INPUT, "shape": [2, 5]}), "shape"),
        (body({**INPUT, "shape": [0, 4], "data": []}), "shape"),
        (body({**INPUT, "datatype": "FP8"}), "FP32"),
        (body({**INPUT, "data": None}), "binary_data_size"),
        (body({**INPUT, "data": [1, 2, 3, 4, 5, 6, 7, "8"]}), "numbers"),
        (body({**INPUT, "parameters": {"binary_data_size": 32}}), "0 are left"),
        (body(INPUT, {**TARGET, "shape": [3], "data": [1, 0, 1]}), "2 rows and 3 targets"),
        (body(INPUT, {**TARGET, "datatype": "FP32"}), "whole number"),
        (body(INPUT, {**TARGET, "data": [1, 7]}), "instance 1: "),
        (body(INPUT, TARGET, parameters={"whence.target": 1}), "twice"),
        (body(INPUT, outputs=[{"name": "made up"}]), "attribution, explanation"),
        (body(INPUT, parameters={"steps": 3}), "whence."),
        (body(INPUT, parameters={"whence.steps": {"a": 1}}), "/parameters"),
        (body(INPUT, parameters={"whence.steps": "3"}), "number"),
        (body(INPUT, parameters={"whence.steps.of": 3}), "steps"),
        (body(INPUT, parameters={"whence.steps": 3, "whence.steps.of": 3}), "no object"),
        (body(INPUT, parameters={"whence.method": "lrp"}), "integrated_gradients already"),
        (body(INPUT, parameters={"timeout": -1}), "microseconds"),
    ],
)
async def test_what_is_wrong_is_said(client: httpx.AsyncClient, queue: FakeQueue, asked: Any, said: str) -> None:
    answer = await client.post("/v2/models/table~integrated_gradients/infer", json=asked)
    assert said in error(answer, 400)


async def test_a_shape_beyond_all_bounds_is_refused_for_its_rows(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v2/models/table/infer", json=body({**INPUT, "shape": [10**9, 10**9]}))
    assert "1 to 100 rows" in error(answer, 400)


async def test_to_predict_and_to_explain_are_not_mixed_up(client: httpx.AsyncClient) -> None:
    asked = body(INPUT, parameters={"whence.method": "lrp"})
    assert "predict already" in error(await client.post("/v2/models/table/infer", json=asked), 400)


@given(st.binary(max_size=80), st.integers(0, 60), st.sampled_from(["FP32", "BYTES", "INT64"]), st.integers(-1, 90))
def test_no_binary_data_breaks_the_reader(data: bytes, count: int, datatype: str, size: int) -> None:
    """Whatever comes is refused by name, or read to the last byte."""
    about = {"name": "input", "shape": [count], "datatype": datatype, "parameters": {"binary_data_size": size}}
    head = json.dumps(body(about)).encode()
    try:
        _, values = read_request(head + data, str(len(head)), 100, lambda _: None)
    except (Invalid, MalformedBody, InvalidTensor):
        return
    assert size == len(data)
    assert len(values["input"]) == count


@pytest.mark.parametrize("length", ["", "-1", "x", "9" * 30, "1"])
async def test_the_length_of_the_head_has_to_be_true(client: httpx.AsyncClient, length: str) -> None:
    headers = {"Inference-Header-Content-Length": length}
    answer = await client.post("/v2/models/table/infer", content=json.dumps(body(INPUT)).encode(), headers=headers)
    assert error(answer, 400)


async def test_what_takes_too_long_has_a_place(client: httpx.AsyncClient, queue: FakeQueue) -> None:
    queue.runs_at_once = False
    answer = await client.post("/v2/models/table~lrp/infer", json=body(INPUT))
    assert "2 of the 2" in error(answer, 503)
    assert answer.headers["location"] == f"/api/v1/explanations/{queue.orders[0].job.id}"
