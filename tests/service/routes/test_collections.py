"""Many inputs in one job: through the API and a worker, on a real Redis."""

from __future__ import annotations

import asyncio
import csv
import io
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from redis import Redis
from safetensors.numpy import load

from service.queue.queue import Queue
from tests.redis_server import RedisServer
from tests.service.through_redis import patient_queue, serving, worker_of
from tests.toys import inputs, model_of, net
from tests.workers.datasets.dataset_files import npz, sent
from workers.datasets.library import Datasets
from workers.engine.model.model import Model
from workers.jobs import keys
from workers.jobs.records import Store
from workers.jobs.stored_results import Results
from workers.methods.gradient.gradient import Gradient
from workers.runtime.execute import item_explanations
from workers.runtime.worker import Worker

COUNT = 70
URL = "/api/v1/explanations"


@pytest.fixture(scope="module")
def model() -> Model:
    return model_of(net(), (1, 8, 8))


@pytest.fixture
def data() -> np.ndarray[Any, Any]:
    return inputs(COUNT, seed=4).numpy()


@pytest.fixture
def datasets(tmp_path: Path, data: np.ndarray[Any, Any]) -> Datasets:
    datasets = Datasets(tmp_path)
    sent(datasets, npz(inputs=data, labels=np.arange(COUNT) % 3))
    return datasets


@pytest.fixture
def digest(datasets: Datasets) -> str:
    return datasets.cards()[0].digest


@pytest.fixture
def worker(store: Store, results: Results, model: Model, datasets: Datasets, jobs: Redis) -> Worker:
    return worker_of(model, store, results, datasets, jobs)


@pytest.fixture
async def queue(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Queue]:
    async with patient_queue(redis_server.url, monkeypatch) as queue:
        yield queue


@pytest.fixture
async def client(
    queue: Queue, model: Model, datasets: Datasets, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(queue, model, datasets, monkeypatch) as client:
        yield client


def asked(model: Model, digest: str, method: object = "integrated_gradients", **more: Any) -> dict[str, Any]:
    return {"model": model.card.name, "method": method, "input": {"dataset": digest, **more}}


async def post(client: httpx.AsyncClient, request: dict[str, Any]) -> httpx.Response:
    return await client.post(URL, json=request, headers={"Prefer": "respond-async"})


async def made(client: httpx.AsyncClient, worker: Worker, request: dict[str, Any]) -> dict[str, Any]:
    answer = await post(client, request)
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = {"status": "queued"}
    while found["status"] == "queued":  # on a slow machine it gives way, and goes on
        await asyncio.to_thread(worker.answer, keys.BATCH)
        found = (await client.get(answer.headers["location"])).json()
    assert found["status"] == "succeeded", found
    return found


async def test_each_item_is_the_explanation_that_it_is_alone(
    client: httpx.AsyncClient, worker: Worker, model: Model, digest: str, data: np.ndarray[Any, Any]
) -> None:
    whole = await made(client, worker, asked(model, digest))
    assert (whole["info"]["items"], whole["info"]["explained"], len(whole["items"])) == (COUNT, COUNT, COUNT)
    tensor = {"shape": [1, 8, 8], "data": data[17].ravel().tolist()}
    alone = await client.post(URL, json={**asked(model, digest), "input": {"tensor": tensor}})
    assert alone.headers["cache-status"] == "whence; hit"
    item, found = whole["items"][17], alone.json()
    assert (item["id"], item["index"], item["label"]["index"]) == (found["id"], 17, 17 % 3)
    assert item["prediction"]["index"] == found["prediction"][0]["index"]
    assert item["prediction"]["score"] == pytest.approx(found["prediction"][0]["score"], rel=1e-6)
    assert item["checks"][0]["gap"] == pytest.approx(found["checks"][0]["gap"], rel=1e-5)
    assert item["target"]["index"] == found["target"]["index"]


async def test_the_numbers_of_all_are_those_of_each(
    client: httpx.AsyncClient, worker: Worker, model: Model, digest: str
) -> None:
    whole = await made(client, worker, asked(model, digest, items=[5, 60]))
    links = whole["links"]
    stack = load((await client.get(links["safetensors"])).content)
    assert stack["index"].tolist() == list(range(5, 60))
    with zipfile.ZipFile(io.BytesIO((await client.get(links["archive"])).content)) as file:
        names = file.namelist()
        held = [np.load(io.BytesIO(file.read(name))) for name in names if name.startswith("attributions/")]
        table = list(csv.DictReader(io.StringIO(file.read("index.csv").decode())))
    np.testing.assert_array_equal(np.stack(held), stack["attribution"])
    assert names.count("summary.png") == 1
    assert sum(name.startswith("contact_sheets/") for name in names) == -(-55 // 24)
    assert [row["index"] for row in table] == [str(one["index"]) for one in whole["items"]]
    assert table == list(csv.DictReader(io.StringIO((await client.get(links["csv"])).text)))
    for at in (0, 54):
        npy = await client.get(f"{URL}/{whole['items'][at]['id']}/attribution.npy")
        np.testing.assert_array_equal(np.load(io.BytesIO(npy.content)), stack["attribution"][at])
    means = np.load(io.BytesIO((await client.get(f"{URL}/{whole['id']}/means.npy")).content))
    labels = np.arange(5, 60) % 3
    expected = np.stack([stack["attribution"][labels == k].astype(np.float64).mean(0) for k in range(3)])
    np.testing.assert_allclose(means, expected, rtol=1e-6, atol=1e-7)
    assert [one["items"] for one in whole["info"]["classes"]] == [int((labels == k).sum()) for k in range(3)]


async def test_pages_go_on_where_they_ended_and_the_worst_checks_come_first(
    client: httpx.AsyncClient, worker: Worker, model: Model, digest: str
) -> None:
    whole = await made(client, worker, asked(model, digest, {"name": "integrated_gradients", "steps": 2}))
    seen, page = [], f"{whole['links']['items']}?limit=30&sort=worst"
    while page:
        found = (await client.get(page)).json()
        seen += found["items"]
        page = found["links"].get("next", "")
    gaps = [one["checks"][0]["gap"] for one in seen]
    assert gaps == sorted(gaps, reverse=True)
    assert sorted(one["index"] for one in seen) == list(range(COUNT))
    sheets, address = [], whole["links"]["contact_sheet"]
    while address:
        answer = await client.get(address)
        sheets.append(Image.open(io.BytesIO(answer.content)).size)
        address = answer.links.get("next", {}).get("url", "")
    assert len(sheets) == 3
    assert max(height for _, height in sheets) < 1000
    assert (await client.get(f"{URL}/{whole['id']}/collection.png")).content.startswith(b"\x89PNG")
    assert (await client.get(f"{whole['links']['contact_sheet']}?page=4")).status_code == 404


async def test_work_goes_on_where_it_stopped_and_gives_way_to_what_is_interactive(
    client: httpx.AsyncClient, worker: Worker, model: Model, digest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []
    explain = Gradient.explain

    def explained(method: Gradient, of: Model, batch: Any) -> Any:
        ran.append(len(batch))
        return explain(method, of, batch)

    monkeypatch.setattr(Gradient, "explain", explained)
    monkeypatch.setattr(item_explanations, "TURN_S", 0.0)
    answer = await post(client, asked(model, digest, "gradient"))
    tensor = {"shape": [1, 8, 8], "data": [0.5] * 64}
    first = await post(client, {**asked(model, digest, "lrp"), "input": {"tensor": tensor}})
    await asyncio.to_thread(worker.answer, keys.BATCH)  # whichever is taken, what is interactive comes first
    await asyncio.to_thread(worker.answer, keys.BATCH)
    status = (await client.get(answer.headers["location"])).json()
    assert (await client.get(first.headers["location"])).json()["status"] == "succeeded"
    assert (await client.get(f"{first.headers['location']}/items")).status_code == 404  # of one input
    while status["status"] != "succeeded":
        assert status["attempts"] <= 1
        await asyncio.to_thread(worker.answer, keys.BATCH)
        status = (await client.get(answer.headers["location"])).json()
    assert sum(ran) == COUNT
    assert status["info"]["explained"] == COUNT


async def test_a_withdrawn_job_ends_and_what_it_made_is_kept(
    client: httpx.AsyncClient, worker: Worker, model: Model, digest: str
) -> None:
    answer = await post(client, asked(model, digest, "gradient"))
    place = answer.headers["location"]
    assert (await client.delete(place)).status_code == 202
    await asyncio.to_thread(worker.answer, keys.BATCH)
    assert (await client.get(place)).json()["status"] == "cancelled"
    for name in ("items", "items.csv", "archive.zip", "contact_sheet.png", "collection.safetensors"):
        assert (await client.get(f"{place}/{name}")).status_code in (409, 410)


async def test_what_is_gone_is_made_again_and_nothing_else(
    client: httpx.AsyncClient, worker: Worker, model: Model, digest: str, jobs: Redis
) -> None:
    whole = await made(client, worker, asked(model, digest, "gradient"))
    jobs.delete(keys.result(whole["items"][3]["id"]))
    answer = await client.get(whole["links"]["archive"])
    assert answer.status_code == 410
    assert "1 of its 70" in answer.json()["detail"]
    again = await made(client, worker, asked(model, digest, "gradient"))
    assert (await client.get(again["links"]["archive"])).status_code == 200


@pytest.mark.parametrize(
    ("method", "given", "pointer"),
    [
        ("gradient", {"items": [0, 71]}, "/input/items"),
        ("gradient", {"items": [5, 5]}, "/input"),
        ("gradient", {"dataset": "nothing"}, "/input/dataset"),
        ("activation_rates", {}, "/input"),
        ({"name": "integrated_gradients", "steps": -1}, {}, "/method/steps"),
    ],
)
async def test_what_cannot_be_is_refused_where_it_stands(
    client: httpx.AsyncClient, model: Model, digest: str, method: object, given: dict[str, Any], pointer: str
) -> None:
    answer = await post(client, asked(model, digest, method) | {"input": {"dataset": digest, **given}})
    assert answer.status_code == 422
    assert [one["pointer"] for one in answer.json()["errors"]] == [pointer]


async def test_a_model_that_the_method_cannot_explain_fails_as_a_whole(
    client: httpx.AsyncClient, worker: Worker, model: Model, digest: str
) -> None:
    answer = await post(client, asked(model, digest, {"name": "grad_cam", "layer": "nowhere"}))
    await asyncio.to_thread(worker.answer, keys.BATCH)
    failed = await client.get(answer.headers["location"])
    assert failed.status_code == 422
    assert "nowhere" in failed.json()["detail"]
