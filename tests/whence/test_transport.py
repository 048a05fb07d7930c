"""What lies between a client and its Whence: no room, a prefix, a password in the address, connections that break."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from safetensors.numpy import save

from whence import AsyncClient, Client, Refused, Unreachable
from whence.connection import settings
from whence.datasets import loaded_stack

KEY = "5" * 64
PLACE = f"/api/v1/explanations/{KEY}"
ROWS = np.arange(12, dtype=np.float32).reshape(3, 4)

Answers = Callable[[httpx.Request], httpx.Response]


def clients(answers: Answers, url: str = "http://there") -> tuple[Client, AsyncClient]:
    one, other = Client(url), AsyncClient(url)
    one.http = httpx.Client(**settings(url, None), transport=httpx.MockTransport(answers))
    other.http = httpx.AsyncClient(**settings(url, None), transport=httpx.MockTransport(answers))
    return one, other


async def test_a_dataset_that_had_no_room_is_sent_again_whole() -> None:
    bodies: list[bytes] = []

    def answers(request: httpx.Request) -> httpx.Response:
        bodies.append(request.content)
        told = {"code": "queue_full", "detail": "no room"}
        if len(bodies) % 2:
            return httpx.Response(503, headers={"retry-after": "0"}, json=told)
        return httpx.Response(201, json={"digest": "sha256:d"})

    class Read(httpx.MockTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await request.aread()
            return answers(request)

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            request.read()
            return answers(request)

    one, other = clients(answers)
    one.http = httpx.Client(**settings("http://there", None), transport=Read(answers))
    other.http = httpx.AsyncClient(**settings("http://there", None), transport=Read(answers))
    assert one.send_dataset(ROWS) == await other.send_dataset(ROWS) == {"digest": "sha256:d"}
    assert len(bodies) == 4
    assert bodies[0]
    assert bodies[0] == bodies[1]
    assert bodies[2] == bodies[3]


async def test_behind_a_prefix_what_is_not_finished_is_found() -> None:
    seen: list[str] = []

    def answers(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.path)
        told: dict[str, Any] = {"status": "running"} if len(seen) % 2 else {"status": "succeeded", "arrays": {}}
        return httpx.Response(200, json={"id": KEY, "kind": "attribution", **told})

    one, other = clients(answers, "http://there/whence")
    assert one.explanation(KEY).id == (await other.explanation(KEY)).id == KEY
    assert seen == [f"/whence{PLACE}"] * 4


async def test_a_broken_connection_is_a_whence_error_without_the_password(tmp_path: Path) -> None:
    def answers(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    one, other = clients(answers, "http://me:secret@there:1")
    for raised in (lambda: one.download(PLACE, tmp_path / "a"), one.models):
        with pytest.raises(Unreachable, match="http://there:1") as error:
            raised()
        assert "secret" not in str(error.value)
    with pytest.raises(Unreachable, match="http://there:1"):
        await other.download(PLACE, tmp_path / "a")


def test_calls_wait_for_a_connection_as_long_as_it_takes() -> None:
    """They are polls of a second each: where hundreds ask at once, ten seconds for a turn are soon gone."""
    assert settings("there", None)["timeout"].pool is None


def test_a_stack_is_of_whatever_kind_it_is() -> None:
    stack = save({"index": np.arange(3), "scores": ROWS})
    np.testing.assert_array_equal(loaded_stack(stack), ROWS)


async def test_a_table_is_sent_in_the_order_of_the_model_s_columns(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("age,rooms,label\n1,3,dear\n")
    sent: list[dict[str, Any]] = []

    def answers(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/v1/models/toy":
            return httpx.Response(200, json={"input": {"names": ["rooms", "age"]}, "classes": ["cheap", "dear"]})
        if request.url.path == "/api/v1/datasets":
            sent.append(dict(np.load(io.BytesIO(request.read()))))
            return httpx.Response(201, json={"digest": "sha256:" + "d" * 64})
        return httpx.Response(422, json={"code": "invalid", "detail": "enough", "status": 422})

    one, other = clients(answers)
    with one, pytest.raises(Refused, match="enough"):
        one.explain_dataset("toy", tmp_path / "t.csv")
    async with other:
        with pytest.raises(Refused, match="enough"):
            await other.explain_dataset("toy", tmp_path / "t.csv")
    assert [(one["inputs"].tolist(), one["labels"].tolist()) for one in sent] == [([[3, 1]], [1])] * 2


@pytest.mark.parametrize(
    "url", ["http://a..b", "http://[::", "http://xn--", "http://user:secret@" + "a" * 64 + ".example"]
)
@pytest.mark.parametrize("make", [Client, AsyncClient])
def test_an_address_that_is_none_is_told_in_a_sentence(make: type[Client | AsyncClient], url: str) -> None:
    with pytest.raises(Unreachable, match="WHENCE_URL, is none; it is one as http://127") as error:
        make(url)
    assert "secret" not in str(error.value)
