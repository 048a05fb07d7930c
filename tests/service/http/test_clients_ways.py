"""What clients write in their own ways is read as what they mean, or refused with the true reason."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI

from service.app import create_app
from service.settings import Settings
from tests.patience import PATIENCE_S
from tests.service.connection import Connection
from tests.service.fakes import FakeQueue
from tests.service.http.test_texts import WAYS, raw_deflate
from tests.service.live import serving
from workers.contract import digest_image, encode_npy

URL = "/api/v1/explanations"
KEY = "0" * 64
JSON = {"content-type": "application/json"}


@pytest.fixture
def app(queue: FakeQueue, settings: Settings) -> FastAPI:
    return create_app(settings, queue)


def asked(png: bytes) -> dict[str, Any]:
    return {"model": "digits", "method": "gradient", "input": {"image": base64.b64encode(png).decode()}}


def test_whatever_answers_get_answers_head_alike_without_a_body(app: FastAPI, queue: FakeQueue) -> None:
    """Every route of the document, filled with what is there and with what is not."""
    queue.put(KEY, "failed")
    paths = [path for path, verbs in app.openapi()["paths"].items() if "get" in verbs]
    paths = [path.replace("{id}", KEY).replace("{name}", "digits") for path in paths]
    with serving(app) as url, httpx.Client(base_url=url) as client:
        for path in [*paths, "/", "/docs", "/openapi.json", "/page/page.js", "/nothing"]:
            got, head = client.get(path), client.head(path)
            assert (head.status_code, head.content) == (got.status_code, b""), path
            assert head.headers["content-type"] == got.headers["content-type"], path
            if path != "/metrics":  # which counts the requests for it
                assert head.headers.get("content-length") == got.headers.get("content-length"), path
        refused = client.head(f"{URL}/{KEY}/nothing/there")
        assert (refused.status_code, refused.content) == (404, b"")
    assert queue.known[KEY].status == "failed"


async def test_head_of_events_ends_though_they_go_on(app: FastAPI, queue: FakeQueue) -> None:
    queue.put(KEY, "running", started_at=1.7e9)
    async with Connection(app, "HEAD", f"{URL}/{KEY}/events") as connection:
        assert await connection.started() == 200
        assert connection.headers["content-type"].startswith("text/event-stream")
        assert await connection.ended()
    assert queue.open == []
    with serving(create_app(Settings(log_level="CRITICAL"), queue)) as url:
        assert httpx.head(f"{url}{URL}/{KEY}/events", timeout=PATIENCE_S).status_code == 200


@pytest.mark.parametrize(("coding", "pack"), [
    ("gzip", gzip.compress), ("GZIP", gzip.compress), ("x-gzip, identity", gzip.compress), ("deflate", zlib.compress),
    ("deflate", raw_deflate), ("identity", bytes),
    ("gzip", lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:]) + bytes(512)),
])  # fmt: skip
async def test_compressed_bodies_are_what_they_were(
    client: httpx.AsyncClient, queue: FakeQueue, png: bytes, coding: str, pack: Callable[[bytes], bytes]
) -> None:
    headers, body = {"content-encoding": coding}, json.dumps(asked(png)).encode()
    told = (await client.post(URL, content=pack(body), headers=JSON | headers)).json()
    sent = await client.post(f"{URL}?model=digits", content=pack(png), headers={"content-type": "image/png"} | headers)
    assert (sent.status_code, told["id"]) == (200, sent.json()["id"])
    rows = {"inputs": [{"name": "input", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
    packed = pack(json.dumps(rows).encode())
    inferred = await client.post("/v2/models/table/infer", content=packed, headers=headers)
    assert inferred.json()["outputs"][0]["shape"][0] == 1


@pytest.mark.parametrize(("path", "coding", "takes"), [
    (URL, "br", "gzip, deflate"), (URL, "gzip, gzip", "gzip, deflate"),
    ("/v2/models/table/infer", "zstd", "gzip, deflate"),
    ("/v2/repository/index", "compress", "gzip, deflate"), ("/api/v1/datasets", "gzip", "identity"),
    ("/v1/models/table:predict", "gzip", "identity"), ("/v1/models/table:explain", "deflate", "identity"),
    ("/predictions/digits", "gzip", "identity"), ("/explanations/digits", "br", "identity"),
])  # fmt: skip
async def test_other_encodings_are_refused_with_those_that_are_taken(
    client: httpx.AsyncClient, path: str, coding: str, takes: str
) -> None:
    answer = await client.post(path, content=b"{}", headers=JSON | {"content-encoding": coding})
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, takes)
    assert "Content-Encoding" in answer.text


async def test_what_is_not_compressed_as_it_says(client: httpx.AsyncClient, settings: Settings) -> None:
    whole = gzip.compress(b"{}" * 100)
    wrong = {"is no gzip": b"{}", "is cut off": whole[:-3], "cut off": whole[:1], "no gzip": whole + b"xy"}
    for said, body in wrong.items():
        answer = await client.post(URL, content=body, headers=JSON | {"content-encoding": "gzip"})
        assert answer.status_code == 400
        assert said in answer.json()["detail"]
    bomb = gzip.compress(bytes(100 * settings.body_limit))
    answer = await client.post(URL, content=bomb, headers=JSON | {"content-encoding": "gzip"})
    assert answer.status_code == 413
    assert f"more than the {settings.body_limit} bytes" in answer.json()["detail"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
async def test_json_comes_in_any_utf(client: httpx.AsyncClient, queue: FakeQueue, png: bytes, encoding: str) -> None:
    text = json.dumps(asked(png)).encode(encoding)
    headers = {"content-type": f"Application/JSON; Charset={encoding}"}
    assert (await client.post(URL, content=text, headers=headers)).status_code == 200
    instances = json.dumps({"instances": [[1, 2, 3, 4]]}).encode(encoding)
    assert (await client.post("/v1/models/table:predict", content=instances)).status_code == 200
    assert len((await client.post("/predictions/table", content=instances)).json()) == 1
    files = {"input": ("a.png", png), "request": ("r.json", json.dumps({"model": "digits"}).encode(encoding))}
    assert (await client.post(URL, files=files)).status_code == 200


@pytest.mark.parametrize("way", WAYS)
async def test_base64_as_people_write_it(client: httpx.AsyncClient, queue: FakeQueue, png: bytes, way: str) -> None:
    text, digest = WAYS[way](png), digest_image(png)
    image = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [text]}
    for path, body in (
        (URL, {"model": "digits", "input": {"image": text}}),
        ("/v1/models/digits:predict", {"instances": [text]}),
        ("/v1/models/digits:predict", {"instances": [{"image_bytes": {"b64": text}}]}),
        ("/v2/models/digits/infer", {"inputs": [image]}),
        ("/predictions/digits", {"data": text}),
    ):
        answer = await client.post(path, json=body)
        assert answer.status_code == 200, f"{path}: {answer.text}"
        assert queue.orders[-1].job.input == digest


async def test_media_types_in_any_case(client: httpx.AsyncClient, png: bytes) -> None:
    line = b'--x\r\nContent-Disposition: form-data; name="%s"; filename="a.png"\r\n\r\n' + png + b"\r\n--x--\r\n"
    for path, name in (
        ("/predictions/digits", b"data"),
        ("/explanations/digits", b"body"),
        (f"{URL}?model=digits", b"input"),
    ):
        for media in ("Multipart/Form-Data; boundary=x", 'MULTIPART/form-data; charset=utf-8; boundary="x"'):
            answer = await client.post(path, content=line % name, headers={"content-type": media})
            wanted = 422 if path.startswith("/api") else 200  # the model's name would be a part of this form
            assert answer.status_code == wanted, answer.text
    for media in ("Image/PNG", "IMAGE/png; name=a", "Application/Octet-Stream"):
        answer = await client.post(f"{URL}?model=digits", content=png, headers={"content-type": media})
        assert answer.status_code == 200
    for media in ("application/JSON; charset=UTF-8", "text/json", "application/vnd.api+json"):
        answer = await client.post(URL, content=json.dumps(asked(png)), headers={"content-type": media})
        assert answer.status_code == 200


async def test_null_is_what_is_not_there(client: httpx.AsyncClient, queue: FakeQueue, png: bytes) -> None:
    image = base64.b64encode(png).decode()
    nulls = {"image": image, "tensor": None, "digest": None}
    request = {"model": "digits", "method": None, "target": None, "webhook": None, "input": nulls}
    bodies: dict[str, dict[str, Any]] = {
        URL: request,
        "/v1/models/digits:explain": {
            "instances": [{"b64": image, "target": None}],
            "inputs": None,
            "parameters": None,
        },
        "/explanations/digits": {"data": image, "method": None, "target": None, "params": None, "instances": None},
    }
    for path, body in bodies.items():
        answer = await client.post(path, json=body)
        assert answer.status_code == 200, f"{path}: {answer.text}"
    none = await client.post(URL, json={**request, "input": {"image": None, "tensor": None}})
    assert "exactly one of image, tensor, table, text, digest and dataset" in none.text


async def test_files_are_told_by_their_bytes_however_they_come(client: httpx.AsyncClient, queue: FakeQueue) -> None:
    array = encode_npy(np.ones((1, 8, 8), np.float32))
    text = base64.b64encode(array).decode()
    await client.post(URL, json={"model": "digits", "input": {"image": text}})
    await client.post("/v1/models/digits:predict", json={"instances": [{"b64": text}]})
    await client.post(f"{URL}?model=digits", content=array, headers={"content-type": "image/png"})
    image = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [text]}
    await client.post("/v2/models/digits/infer", json={"inputs": [image]})
    assert len(queue.orders) == 4
    assert len({order.job.input for order in queue.orders}) == 1


@pytest.mark.parametrize("media", [None, "text/plain", "application/octet-stream", "application/x-www-form-urlencoded"])
async def test_json_under_another_name_is_told_its_own(
    client: httpx.AsyncClient, png: bytes, media: str | None
) -> None:
    """As `curl -d` and those that set no header send it."""
    headers = {"content-type": media} if media else {}
    refused = await client.post(URL, content=json.dumps(asked(png)).encode(), headers=headers)
    assert refused.status_code == 415
    assert refused.json()["detail"] == "the body looks like JSON; send it with Content-Type: application/json"


@pytest.mark.parametrize(("given", "where", "right"), [
    ({"image": "https://example.org/8.png"}, "/input/image", "this is an address, and nothing is fetched from one"),
    ({"image": "s3://bucket/8.png"}, "/input/image", "send the bytes of the file, in base64"),
    ({"image": "examples/8.png"}, "/input/image", "a file's bytes, not its name"),
    ({"image": "C:\\8.png"}, "/input/image", "a file's bytes, not its name"),
    ({"tensor": [[0.0, 1.0]]}, "/input/tensor", "this should be a JSON object with shape, dtype, data"),
    ({"tensor": 3}, "/input/tensor", "this should be a JSON object with shape, dtype, data"),
    ("iVBORw0KGgo=", "/input", "this should be a JSON object with image, tensor, table, text, digest, dataset, items"),
    ([{"image": ""}, {"image": ""}], "/input", 'POST /api/v1/datasets answers its digest, and {"dataset": DIGEST}'),
    ({"table": {"a": 1}}, "/input/table", "the model takes an image, not a table"),
    ({"text": "eight"}, "/input/text", "the model takes an image, not a text"),
])  # fmt: skip
async def test_an_input_in_the_wrong_form_is_told_the_right_one(
    client: httpx.AsyncClient, given: Any, where: str, right: str
) -> None:
    refused = await client.post(URL, json={"model": "digits", "method": "gradient", "input": given})
    (fault,) = refused.json()["errors"]
    assert (refused.status_code, fault["pointer"]) == (422, where)
    assert right in fault["detail"]
