"""Every error is problem+json with a stable code, says what would be right, and never what the client sent."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from service.app import create_app
from service.explanations.documents import status_document
from service.http.problems import KINDS
from service.queue.status import Problem
from service.settings import Settings
from tests.service.fakes import FakeQueue
from workers.contract import encode_npy
from workers.explanation import errors
from workers.explanation.card import MethodSupport

URL = "/api/v1/explanations"
SECRET = "s3cr3t-of-the-client"
STEPS0 = {"name": "integrated_gradients", "steps": 0}
TENSOR = {"shape": [1, 8, 8], "data": [0] * 64}


def check(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    problem: dict[str, Any] = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code), problem
    assert problem["type"] == f"urn:whence:problem:{code}"
    assert problem["title"]
    assert problem["detail"]
    assert SECRET not in answer.text
    assert len(answer.content) < 4096
    return problem


@pytest.mark.parametrize(
    ("request_", "code", "pointer"),
    [
        ({}, "invalid_request", "/model"),
        ({"model": SECRET}, "unknown_model", "/model"),
        ({"model": "digits", "method": SECRET}, "unknown_method", "/method"),
        ({"model": "digits", "method": ["gradient", SECRET]}, "unknown_method", "/method/1"),
        ({"model": "digits", "method": []}, "invalid_request", "/method"),
        ({"model": "digits", "method": {"name": "lrp", SECRET[:3]: 1}}, "invalid_request", None),
        ({"model": "digits", "method": STEPS0}, "invalid_request", "/method/steps"),
        ({"model": "digits", "method": {"name": "smooth_grad", "of": SECRET}}, "invalid_request", "/method/of"),
        ({"model": "digits", "method": "grad_cam"}, "method_not_applicable", "/method"),
        ({"model": "digits", "target": 3}, "invalid_target", "/target"),
        ({"model": "digits", "target": SECRET}, "invalid_target", "/target"),
        ({"model": "digits", "input": None}, "invalid_request", "/input"),
        ({"model": "digits", "input": {}}, "invalid_request", "/input"),
        ({"model": "digits", "input": {"image": "x", "tensor": {}}}, "invalid_request", "/input"),
        ({"model": "digits", "input": {"image": SECRET + "!"}}, "invalid_image", "/input/image"),
        ({"model": "digits", "input": {"image": "AAAA"}}, "invalid_image", "/input"),
        ({"model": "table", "input": {"image": "AAAA"}}, "invalid_tensor", "/input"),
        ({"model": "digits", "input": {"digest": SECRET}}, "invalid_request", "/input/digest"),
        ({"model": "digits", "input": {"tensor": {"shape": [4], "data": [1] * 4}}}, "invalid_tensor", "/input/tensor"),
        ({"model": "digits", "input": {"tensor": TENSOR | {"data": [SECRET]}}}, "invalid_tensor", "/input/tensor/data"),
        ({"model": "digits", "input": {"tensor": {**TENSOR, "data": [1e300] * 64}}}, "invalid_tensor", "/input/tensor"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_named_where_it_is(
    client: httpx.AsyncClient, queue: FakeQueue, request_: dict[str, Any], code: str, pointer: str | None
) -> None:
    answer = await client.post(URL, json={"input": {"tensor": TENSOR}, **request_})
    problem = check(answer, 422, code)
    if pointer is not None:
        assert problem["errors"][0]["pointer"] == pointer
    assert queue.orders == []


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 400, "malformed_body"),
        (b'{"model": "digits"', 400, "malformed_body"),
        (b'{"model": "\xff"}', 400, "malformed_body"),
        (b"[" * 50_000, 400, "malformed_body"),
        (b"[1]", 422, "invalid_request"),
        (b'{"model": "digits", "method": {"name": "integrated_gradients", "steps": NaN}}', 422, "invalid_request"),
        (b'{"model": "digits", "target": 1e999}', 422, "invalid_request"),
        (b'{"model": "digits", "target": ' + b"9" * 5000 + b"}", 400, "malformed_body"),
        (b'{"model": "' + b"x" * 300 + b'"}', 422, "unknown_model"),
        (b'{"model": "' + b"x" * 301 + b'"}', 422, "invalid_request"),
    ],
)
async def test_hostile_json_is_a_client_error(
    client: httpx.AsyncClient, content: bytes, status: int, code: str
) -> None:
    check(await client.post(URL, content=content, headers={"content-type": "application/json"}), status, code)


async def test_a_body_beyond_the_limit_is_refused(client: httpx.AsyncClient, settings: Settings) -> None:
    large = b"x" * (settings.body_limit + 1)
    check(await client.post(URL, content=large, headers={"content-type": "image/png"}), 413, "input_too_large")

    async def dripping() -> AsyncIterator[bytes]:
        for start in range(0, len(large), 10_000):
            yield large[start : start + 10_000]

    unannounced = await client.post(URL, content=dripping(), headers={"content-type": "image/png"})
    assert "content-length" not in unannounced.request.headers
    check(unannounced, 413, "input_too_large")


async def test_an_image_of_too_many_pixels_is_refused_undecoded(client: httpx.AsyncClient) -> None:
    out = io.BytesIO()
    Image.new("1", (3000, 3000)).save(out, "PNG")
    answer = await client.post(f"{URL}?model=digits", content=out.getvalue(), headers={"content-type": "image/png"})
    check(answer, 413, "input_too_large")


async def test_an_array_that_claims_more_than_it_holds_is_refused(client: httpx.AsyncClient) -> None:
    bomb = encode_npy(np.zeros(1, np.float32)).replace(b"(1,), }            ", b"(1000000000000,), }")
    assert b"(1000000000000,)" in bomb
    headers = {"content-type": "application/x-npy"}
    check(await client.post(f"{URL}?model=digits", content=bomb, headers=headers), 422, "invalid_tensor")


async def test_a_body_that_does_not_arrive_is_given_up(queue: FakeQueue) -> None:
    async def stuck() -> AsyncIterator[bytes]:
        yield b"\x89PNG"
        await asyncio.sleep(60)

    app = create_app(Settings(body_deadline=0.05, log_level="CRITICAL"), queue)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://whence") as client:
        answer = await client.post(URL, content=stuck(), headers={"content-type": "image/png"})
    check(answer, 408, "request_timeout")


async def test_media_types_there_are_none_of(client: httpx.AsyncClient, png: bytes) -> None:
    check(await client.post(URL, data={"model": "digits"}), 415, "unsupported_media_type")
    headers = {"content-type": "image/png", "accept": "image/svg+xml"}
    problem = check(await client.post(f"{URL}?model=digits", content=png, headers=headers), 406, "not_acceptable")
    assert "image/png" in problem["detail"]
    several = {"model": "digits", "method": ["gradient"], "input": {"tensor": TENSOR}}
    check(await client.post(URL, json=several, headers={"accept": "image/png"}), 406, "not_acceptable")


async def test_a_form_that_cannot_be_read(client: httpx.AsyncClient, png: bytes) -> None:
    headers = {"content-type": "multipart/form-data; boundary=x"}
    check(await client.post(URL, content=b"no form", headers=headers), 400, "malformed_body")
    files = {"input": ("a.png", png), "other": ("b.png", png)}
    check(await client.post(URL, files=files, data={"model": "digits"}), 422, "invalid_request")
    check(await client.post(URL, files={"input": ("a.png", png)}, data={"params": "{}"}), 422, "invalid_request")
    misspelt = await client.post(f"{URL}?modle=digits", content=png, headers={"content-type": "image/png"})
    check(misspelt, 422, "invalid_request")


async def test_paths_and_verbs_there_are_none_of(client: httpx.AsyncClient) -> None:
    check(await client.get("/api/v1/nothing"), 404, "not_found")
    refused = await client.put(URL)
    check(refused, 405, "method_not_allowed")
    assert refused.headers["allow"] == "GET, HEAD, POST"
    refused = await client.post(f"{URL}/{'0' * 64}")
    check(refused, 405, "method_not_allowed")
    assert refused.headers["allow"] == "DELETE, GET, HEAD"
    check(await client.get(f"/api/v1/models/{SECRET}"), 404, "not_found")
    check(await client.get(f"/api/v1/methods/{SECRET}"), 404, "not_found")


async def test_without_redis_or_workers_it_says_when_to_come_back(client: httpx.AsyncClient, queue: FakeQueue) -> None:
    request = {"model": "digits", "input": {"tensor": TENSOR}}
    queue.served = {}
    answer = await client.post(URL, json=request)
    check(answer, 503, "no_worker")
    assert int(answer.headers["retry-after"]) > 0
    check(await client.get("/readyz"), 503, "no_worker")
    queue.alive = False
    check(await client.get("/readyz"), 503, "queue_unavailable")
    check(await client.get(f"{URL}/{'0' * 64}"), 503, "queue_unavailable")
    assert (await client.get("/healthz")).status_code == 200


async def test_a_fault_of_ours_tells_nothing(
    client: httpx.AsyncClient, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(queue, "models", broken)
    answer = await client.get("/api/v1/models", headers={"x-request-id": "mine"})
    check(answer, 500, "internal_error")
    assert answer.headers["x-request-id"] == "mine"


async def test_every_answer_has_a_request_id(client: httpx.AsyncClient) -> None:
    given = await client.get("/healthz", headers={"x-request-id": "abc-1"})
    assert given.headers["x-request-id"] == "abc-1"
    for unsafe in ("a b", "x" * 200, "a\tb"):
        assert (await client.get("/healthz", headers={"x-request-id": unsafe})).headers["x-request-id"] != unsafe
    assert len({(await client.get("/nowhere")).headers["x-request-id"] for _ in range(3)}) == 3


def test_the_table_knows_every_code() -> None:
    def leaves(kind: type[errors.ExplainError]) -> set[str]:
        return {kind.code}.union(*(leaves(one) for one in kind.__subclasses__()))

    assert leaves(errors.ExplainError) <= KINDS.keys()


async def test_what_a_refusal_advises_comes_as_parts_of_a_request(
    client: httpx.AsyncClient, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a worker's refusal; and from the card, at once, for default parameters alone."""
    advice = [{"method": {"name": "lrp", "to": "emb"}}, {"target": 0}]
    failed = Problem(code="method_not_applicable", detail="no", pointer="/method", alternatives=tuple(advice))
    queue.put("0" * 64, "failed", failed)
    assert check(await client.get(f"{URL}/{'0' * 64}"), 422, "method_not_applicable")["alternatives"] == advice
    assert status_document(queue.known["0" * 64])["error"]["alternatives"] == advice

    card = queue.cards()["digits"]
    told = MethodSupport(name="grad_cam", supported=False, reason="no places", alternatives=tuple(advice))
    queue.served = {"digits": card.model_copy(update={"methods": (told,)})}
    asked = {"model": "digits", "input": {"tensor": TENSOR}}
    problem = check(await client.post(URL, json={**asked, "method": "grad_cam"}), 422, "method_not_applicable")
    assert problem["alternatives"] == advice
    assert queue.orders == []
    for other in (
        {"method": {"name": "grad_cam", "layer": "conv1"}},
        {"method": "grad_cam", "target": {"layer": card.layers[0].name, "channel": 0}},
        {"method": {"name": "smooth_grad", "of": "grad_cam"}},
    ):
        assert (await client.post(URL, json={**asked, **other})).status_code < 300  # a worker decides
