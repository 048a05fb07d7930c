"""POST /api/v1/explanations where nothing comes of it: a full queue, stored failures, fields of another type."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest

from service.app import create_app
from service.explanations import responses
from service.http.errors import QueueFull, QuotaExceeded
from service.queue.status import Problem, Progress, Status
from service.settings import Settings
from tests.service.fakes import FakeQueue
from tests.service.routes.bodies import URL, body


@pytest.mark.parametrize(("error", "status"), [(QueueFull, 503), (QuotaExceeded, 429)])
async def test_a_full_queue_says_when_to_come_back(
    client: httpx.AsyncClient, queue: FakeQueue, png: bytes, error: type[QueueFull], status: int
) -> None:
    queue.full = error("no room", 17)
    answer = await client.post(URL, json=body(png))
    assert (answer.status_code, answer.headers["retry-after"]) == (status, "17")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("state", "seconds"),
    [
        ({}, 1),
        ({"position": 7, "starts_in": 12.3}, 13),
        ({"position": 7, "starts_in": 1e9}, 600),
        ({"started_at": 990.0}, 1),
        ({"started_at": 990.0, "progress": Progress(done=0, total=5, unit="steps")}, 1),
        ({"started_at": 990.0, "progress": Progress(done=1, total=5, unit="steps")}, 40),
        ({"started_at": 1010.0, "progress": Progress(done=1, total=5, unit="steps")}, 1),
    ],
)
def test_retry_after_is_what_is_left(state: dict[str, Any], seconds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses, "time", SimpleNamespace(time=lambda: 1000.0))
    status = Status(id="0" * 64, status="running" if "started_at" in state else "queued", **state)
    assert responses.retry_after(status) == seconds


async def test_of_several_the_last_says_when_to_come_back(
    client: httpx.AsyncClient, queue: FakeQueue, png: bytes
) -> None:
    queue.runs_at_once = False
    asked = body(png, target=[0, 1])
    for number, one in enumerate((await client.post(URL, json=asked)).json()["explanations"]):
        queue.put(one["id"], "queued", position=number, starts_in=10.0 * number)
    assert (await client.post(URL, json=asked)).headers["retry-after"] == "10"


async def test_a_stored_failure_is_the_answer(client: httpx.AsyncClient, queue: FakeQueue, png: bytes) -> None:
    queue.runs_at_once = False
    key = (await client.post(URL, json=body(png))).json()["id"]
    queue.put(key, "failed", Problem(code="worker_crashed", detail="three workers died on it"))
    answer = await client.post(URL, json=body(png))
    assert answer.status_code == 500
    assert answer.json()["code"] == "worker_crashed"
    several = await client.post(URL, json=body(png, target=["argmax"]))
    assert several.status_code == 200
    assert several.json()["explanations"][0]["error"]["code"] == "worker_crashed"


@pytest.mark.parametrize(
    ("parameters", "pointer"),
    [
        ({"steps": "50"}, "/method/steps"),
        ({"seed": True}, "/method/seed"),
        ({"times_input": 1}, "/method/times_input"),
    ],
)
async def test_a_text_is_no_number_and_a_number_no_truth(
    client: httpx.AsyncClient, queue: FakeQueue, parameters: dict[str, Any], pointer: str
) -> None:
    method = {"name": "integrated_gradients", **parameters}
    answer = await client.post(URL, json={"model": "digits", "method": method})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert queue.orders == []


async def test_methods_held_too_deeply_are_refused(client: httpx.AsyncClient) -> None:
    method: Any = "gradient"
    for _ in range(300):
        method = {"name": "smooth_grad", "of": method}
    answer = await client.post(URL, json={"model": "digits", "method": method})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize("items", [[0, 10**10], [-1, 5], [0]])
async def test_items_are_numbers_that_a_dataset_may_have(client: httpx.AsyncClient, items: list[int]) -> None:
    asked = {"model": "digits", "method": "gradient", "input": {"dataset": "training", "items": items}}
    answer = await client.post(URL, json=asked)
    assert answer.status_code == 422, answer.text
    assert all(one["pointer"].startswith("/input") for one in answer.json()["errors"])


async def test_a_dataset_that_does_not_fit_is_the_inputs_fault(queue: FakeQueue, tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    np.save(tmp_path / "training" / "inputs.npy", np.zeros((3, 5), np.float32))
    app = create_app(Settings(log_level="CRITICAL", datasets=tmp_path), queue)
    asked = {"model": "digits", "method": "gradient", "input": {"dataset": "training"}}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://whence") as client:
        answer = await client.post(URL, json=asked)
    assert [one["pointer"] for one in answer.json()["errors"]] == ["/input/dataset"]


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ({"name": "activation_rates", "dataset": "nothing"}, "dataset"),
        ({"name": "resampling", "models": ["no"]}, "models/0"),
    ],
)
async def test_a_name_in_a_list_of_methods_is_pointed_at(
    client: httpx.AsyncClient, png: bytes, method: dict[str, Any], name: str
) -> None:
    """At its place in the list that was sent, in which another may come twice."""
    answer = await client.post(URL, json=body(png, method=["gradient", "gradient", method]))
    assert [one["pointer"] for one in answer.json()["errors"]] == [f"/method/2/{name}"], answer.text
