"""Bodies that cost a client little and would cost the server much: counted while they are read, off the loop."""

from __future__ import annotations

import gzip
import json
import threading
from base64 import b64encode
from types import SimpleNamespace

import httpx
import numpy as np
import orjson
import pytest

from service.explanations import requests
from service.http import json_text, threads
from service.http.base64_text import PIECE, from_base64
from service.http.content_encoding import MOST_MEMBERS
from service.http.json_text import MOST_VALUES
from service.protocols import tensor_encoding
from service.settings import Settings
from tests.service.explanations.counting import URL, Counted, asked
from workers.contract import InvalidImage, InvalidTensor

JSON = {"content-type": "application/json"}

V1, V2 = "/v1/models/table:explain", "/v2/models/table/explain"


@pytest.fixture
def settings() -> Settings:
    return Settings(log_level="CRITICAL")


@pytest.fixture
def read(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The threads in which JSON of requests was read."""
    reader = SimpleNamespace(loads=orjson.loads, JSONDecodeError=orjson.JSONDecodeError)
    monkeypatch.setattr(json_text, "orjson", reader)
    return counted(reader, "loads")


@pytest.mark.parametrize("path", [URL, V1, V2, "/explanations/table", "/predictions/table"])
@pytest.mark.parametrize("body", [b"[" + b"1," * 200_000 + b"]x", b'{"instances": [' + b"[]," * 200_000 + b"[]]}"])
async def test_numbers_are_counted_before_json_is_read(
    client: httpx.AsyncClient, read: list[str], path: str, body: bytes
) -> None:
    answer = await client.post(path, content=body, headers=JSON)
    assert (answer.status_code, len(read)) == (413, 0)
    assert "commas" in answer.text


@pytest.mark.parametrize("path", [URL, V1, V2, "/explanations/table"])
async def test_large_bodies_are_read_off_the_loop(client: httpx.AsyncClient, read: list[str], path: str) -> None:
    rows = [[1, 2, 3, 4]] * 3000
    bodies = {
        URL: asked(target=rows),
        V2: {"inputs": [{"name": "input", "shape": [3000, 4], "datatype": "FP32", "data": rows}]},
    }
    answer = await client.post(path, json=bodies.get(path, {"instances": rows}))
    assert answer.status_code in (400, 422)
    assert read and threading.main_thread().name not in read  # noqa: PT018


async def test_files_of_forms_are_read_off_the_loop(
    client: httpx.AsyncClient, read: list[str], counted: Counted
) -> None:
    hashed = counted(requests, "read_inputs")
    request = json.dumps(asked(input=None, target=list(range(5000)))).encode()
    files = {"request": ("r.json", request), "input": ("x", bytes(threads.LARGE))}
    answer = await client.post(URL, files=files)
    assert answer.status_code == 422
    assert read and hashed and threading.main_thread().name not in read + hashed  # noqa: PT018


@pytest.mark.parametrize(
    "tensor",
    [
        {"shape": [4], "data": [[[0] * 1000]] * 4},
        {"shape": [4], "data": [0] * 50_000},
        {"shape": [50_000], "data": [0] * 50_000},
        {"shape": [1, 1, 1, 4], "data": [0] * 4},
        {"shape": [1] * 50_000, "data": [0] * 4},
        {"shape": [4], "data": json.loads("[" * 900 + "]" * 900)},
        {"shape": [4], "data": [0, 0, 0, [0] * 50_000]},
    ],
)
async def test_lists_are_compared_with_the_models_shape_before_an_array_is_made(
    client: httpx.AsyncClient, counted: Counted, tensor: object
) -> None:
    made = counted(np, "asarray")
    answer = await client.post(URL, json=asked(input={"tensor": tensor}))
    assert (answer.status_code, answer.json()["code"], len(made)) == (422, "invalid_tensor", 0)
    row = tensor["data"]  # type: ignore[index]
    answer = await client.post(V1, json={"instances": [{"data": row}]})
    assert answer.status_code == (200 if len(row) == 4 and row == [0] * 4 else 400)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"outputs": [{"name": "attribution"}] * 5000}, "at most 34 items"),
        ({"outputs": [0] * 50_000}, f"at most {MOST_VALUES} values"),
        ({"parameters": {f"whence.{i}": 0 for i in range(2000)}}, "at most 1000 items"),
        ({"parameters": {"whence." + "a." * 400 + "a": 0}}, "at most 32 deep"),
        ({"parameters": {"x" * 10_000: 0}}, "a name has at most"),
        ({"id": "x" * 1001}, "at most 1000 characters"),
        ({"inputs": [{"name": "x" * 500}]}, "at most 300 characters"),
        ({"inputs": [{"name": "target", "shape": [], "datatype": "INT64", "data": [1]}]}, "the inputs are one of"),
    ],
)
async def test_a_request_of_tensors_is_small_but_for_its_numbers(
    client: httpx.AsyncClient, change: dict[str, object], why: str
) -> None:
    given = {"name": "input", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}
    answer = await client.post(V2, json={"inputs": [given], **change})
    assert answer.status_code == 400, answer.text
    assert why in answer.json()["error"]
    assert len(answer.content) < 2000


def test_elements_are_counted_while_they_are_read() -> None:
    head = json.dumps(
        {"inputs": [{"name": "image", "shape": [3], "datatype": "BYTES", "parameters": {"binary_data_size": 400_000}}]}
    ).encode()
    with pytest.raises(InvalidTensor, match="more than 3 elements; the shape says 3"):
        tensor_encoding.read_request(head + bytes(400_000), str(len(head)), 100, lambda _: None)


async def test_members_of_a_gzip_are_counted(client: httpx.AsyncClient) -> None:
    sound = gzip.compress(json.dumps(asked()).encode())
    for count, status in ((MOST_MEMBERS - 1, 200), (MOST_MEMBERS, 400)):
        content = gzip.compress(b"") * count + sound
        answer = await client.post(URL, content=content, headers={**JSON, "content-encoding": "gzip"})
        assert answer.status_code == status, answer.text
    assert "members" in answer.json()["detail"]


@pytest.mark.parametrize("size", [PIECE * 3 // 4 * 2, PIECE + 1, 2 * PIECE - 1])
def test_base64_is_decoded_in_pieces(size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    text = b64encode(data[:size]).decode()
    assert from_base64(text, "/input") == data[:size]
    with pytest.raises(InvalidImage, match="none of its alphabet"):
        from_base64(text[: PIECE - 2] + "==" + text[PIECE:], "/input")
