"""Open Inference requests as the clients of Triton and MLServer write them: parameters, nulls, names, datatypes."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton

from service.app import create_app
from service.protocols.rows import classified
from service.settings import Settings
from tests.service.fakes import FakeQueue
from tests.service.live import serving
from tests.service.protocols.test_kserve import error
from workers.contract import digest_image

ROW = {"name": "input", "shape": [1, 1, 8, 8], "datatype": "FP32", "data": [0.5] * 64}
INFER = "/v2/models/digits/infer"


def scores_of(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()["outputs"][0]


async def test_classes_are_the_highest_scores_with_index_and_label(client: httpx.AsyncClient) -> None:
    plain = scores_of(await client.post(INFER, json={"inputs": [ROW]}))
    scores = np.reshape(plain["data"], plain["shape"])
    for count in (1, 2, 9):
        asked = [{"name": "scores", "parameters": {"classification": count}}]
        told = scores_of(await client.post(INFER, json={"inputs": [ROW], "outputs": asked}))
        best = np.argsort(-scores[0])[:count]
        assert (told["datatype"], told["shape"]) == ("BYTES", [1, min(count, 3)])
        assert told["data"] == [f"{scores[0, i]:f}:{i}:{['zero', 'one', 'two'][i]}" for i in best]


def test_classes_of_several_rows_and_of_none_named() -> None:
    found = classified(np.array([[1.0, 3.0, 2.0], [5.0, 5.0, -1.0]]), 2, ())
    assert found.tolist() == [[b"3.000000:1", b"2.000000:2"], [b"5.000000:0", b"5.000000:1"]]


def test_tritons_own_client_reads_the_classes(queue: FakeQueue) -> None:
    with serving(create_app(Settings(log_level="CRITICAL"), queue)) as url:
        client = triton.InferenceServerClient(url.removeprefix("http://"))
        given = triton.InferInput("input", [2, 1, 8, 8], "FP32")
        given.set_data_from_numpy(np.zeros((2, 1, 8, 8), np.float32))
        for binary in (True, False):
            wanted = [triton.InferRequestedOutput("scores", binary_data=binary, class_count=2)]
            for packed in (None, "gzip", "deflate"):
                answer = client.infer("digits", [given], outputs=wanted, request_compression_algorithm=packed)
                found = answer.as_numpy("scores")
                assert found.shape == (2, 2)
                assert all(text.count(b":" if binary else ":") == 2 for text in found.ravel())
        client.close()


@pytest.mark.parametrize(("more", "said"), [
    ({"outputs": [{"name": "scores", "parameters": {"shared_memory_region": "r"}}]}, "memory is not shared here"),
    ({"inputs": [{**ROW, "parameters": {"shared_memory_region": "r"}, "data": None}]}, "memory is not shared here"),
    ({"outputs": [{"name": "scores", "parameters": {"classification": 0}}]}, "a number of classes, at least 1"),
    ({"outputs": [{"name": "scores", "parameters": {"classification": "3"}}]}, "a number of classes, at least 1"),
    ({"outputs": [{"name": "explanation", "parameters": {"classification": 3}}]}, "of scores, where they have an axis"),
    ({"outputs": [{"name": "scores", "parameters": {"binary_data": "yes"}}]}, "true or false"),
    ({"parameters": {"whence.of": {"name": "lrp"}}}, "flattened"),
    ({"inputs": [ROW, ROW]}, "two tensors have this name"),
    ({"inputs": [{**ROW, "datatype": "BF16"}]}, "BF16 comes as binary data alone"),
])  # fmt: skip
async def test_what_is_not_done_is_refused_before_any_work(
    client: httpx.AsyncClient, queue: FakeQueue, more: dict[str, Any], said: str
) -> None:
    assert said in error(await client.post(INFER, json={"inputs": [ROW], **more}), 400)
    assert queue.orders == []


async def test_requests_as_mlservers_codecs_write_them(client: httpx.AsyncClient, queue: FakeQueue, png: bytes) -> None:
    """Nulls for all that is not used, content types at both levels, headers, and `input-0` for the one input."""
    nulls = {
        "id": None,
        "outputs": None,
        "parameters": {"content_type": "np", "headers": {"Ce-Id": "1"}, "extra": None},
    }
    array = {**ROW, "name": "input-0", "parameters": {"content_type": "np", "headers": None}}
    scores_of(await client.post(INFER, json={**nulls, "inputs": [array]}))
    text = base64.b64encode(png).decode()
    file = {
        "name": "input-0",
        "shape": [1, 1],
        "datatype": "BYTES",
        "parameters": {"content_type": "base64"},
        "data": [text],
    }
    scores_of(await client.post(INFER, json={**nulls, "inputs": [file]}))
    assert queue.orders[-1].job.input == digest_image(png)
    bare = {**ROW, "parameters": None}
    scores_of(await client.post(INFER, json={"inputs": [bare], "outputs": [{"name": "scores", "parameters": None}]}))
    assert queue.orders[0].job.input == queue.orders[-1].job.input
    named = {**ROW, "name": "input-1"}
    assert "the inputs are one of input and image" in error(await client.post(INFER, json={"inputs": [named]}), 400)


async def test_bfloat16_and_truth_values(client: httpx.AsyncClient, queue: FakeQueue) -> None:
    values = np.array([1, 0, 1, 1], np.float32)
    head: dict[str, Any] = {"name": "input", "shape": [1, 4]}
    bits = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    text = json.dumps({"inputs": [{**head, "datatype": "BF16", "parameters": {"binary_data_size": 8}}]}).encode()
    length = {"inference-header-content-length": str(len(text))}
    sent = await client.post("/v2/models/table/infer", content=text + bits, headers=length)
    assert sent.status_code == 200
    for data in ([True, False, True, True], [1, 0, 1, 1]):
        body = {"inputs": [{**head, "datatype": "BOOL", "data": data}]}
        assert (await client.post("/v2/models/table/infer", json=body)).status_code == 200
    assert len({order.job.input for order in queue.orders}) == 1
