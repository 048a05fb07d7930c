"""Pictures of tables, through the API and a worker: a waterfall of one row, a beeswarm of a dataset."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from redis import Redis

from service.explanations import collection_files
from service.queue.queue import Queue
from service.render.plots.beeswarm import draw_beeswarm
from tests.orders import MODEL
from tests.redis_server import RedisServer
from tests.service.through_redis import patient_queue, serving, worker_of
from tests.workers.datasets.dataset_files import npz, sent
from tests.workers.models.test_tables import BACKGROUND, Known
from workers.datasets.library import Datasets
from workers.jobs import keys
from workers.jobs.records import Store
from workers.jobs.stored_results import Results
from workers.runtime.worker import Worker

URL = "/api/v1/explanations"
ROW = {"table": {"age": 40, "job": "smith", "shoe": 42, "city": "south"}}
COUNT = 30


@pytest.fixture
def model() -> Known:
    known = Known()
    known.card = known.published = known.card.model_copy(update={"digest": MODEL})
    return known


@pytest.fixture
def datasets(tmp_path: Path) -> Datasets:
    datasets = Datasets(tmp_path)
    rows = np.repeat(BACKGROUND.numpy(), COUNT // len(BACKGROUND), axis=0)
    rows[:, 0] += np.arange(COUNT)  # so that no two are one item
    sent(datasets, npz(inputs=rows.astype(np.float32)))
    return datasets


@pytest.fixture
def worker(store: Store, results: Results, model: Known, datasets: Datasets, jobs: Redis) -> Worker:
    return worker_of(model, store, results, datasets, jobs)


@pytest.fixture
async def queue(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Queue]:
    async with patient_queue(redis_server.url, monkeypatch) as queue:
        yield queue


@pytest.fixture
async def client(
    queue: Queue, model: Known, datasets: Datasets, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(queue, model, datasets, monkeypatch) as client:
        yield client


async def made(client: httpx.AsyncClient, worker: Worker, given: object, method: object) -> dict[str, Any]:
    body = {"model": "toy", "method": method, "input": given, "target": "value"}
    answer = await client.post(URL, json=body, headers={"Prefer": "respond-async"})
    assert answer.status_code == 202, answer.text
    for priority in (keys.INTERACTIVE, keys.BATCH):
        await asyncio.to_thread(worker.answer, priority)
    found: dict[str, Any] = (await client.get(answer.headers["location"])).json()
    assert found["status"] == "succeeded", found
    return found


def size(answer: httpx.Response) -> tuple[int, int]:
    assert answer.headers["content-type"] == "image/png", answer.text
    return Image.open(io.BytesIO(answer.content)).size


async def test_a_waterfall_is_drawn_of_what_leads_from_the_background_to_the_score(
    client: httpx.AsyncClient, worker: Worker
) -> None:
    found = await made(client, worker, ROW, "kernel_shap")
    assert found["layout"]["categories"]["job"] == ["clerk", "nurse", "smith"]
    assert size(await client.get(found["links"]["waterfall"]))[0] > 500


async def test_what_leads_nowhere_has_none_and_says_what_has(client: httpx.AsyncClient, worker: Worker) -> None:
    found = await made(client, worker, ROW, "occlusion")
    assert "waterfall" not in found["links"]
    answer = await client.get(f"{URL}/{found['id']}/waterfall.png")
    assert answer.status_code == 422
    assert "take heatmap.png" in answer.json()["errors"][0]["detail"]
    assert (await client.get(f"{URL}/{found['id']}/heatmap.png")).status_code == 200


async def test_a_beeswarm_is_drawn_of_a_dataset(
    client: httpx.AsyncClient, worker: Worker, datasets: Datasets, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await made(client, worker, {"dataset": datasets.cards()[0].digest}, "kernel_shap")
    assert (found["info"]["explained"], found["layout"]["names"]) == (COUNT, ["age", "job", "shoe", "city"])
    drawn: list[Any] = []

    def draw(*given: Any) -> bytes:
        drawn.append(given)
        return draw_beeswarm(*given)

    monkeypatch.setattr(collection_files, "draw_beeswarm", draw)
    assert size(await client.get(found["links"]["beeswarm"]))[0] > 500
    values, seen, layout, caption = drawn[0]
    assert (values.shape, seen.shape, layout.name(3)) == ((COUNT, 4), (COUNT, 4), "city")
    assert caption.title == f"kernel_shap of {COUNT} inputs"
    items = (await client.get(found["links"]["items"])).json()["items"]
    alone = np.load(io.BytesIO((await client.get(f"{items[7]['links']['self']}/attribution.npy")).content))
    np.testing.assert_array_equal(values[7], alone)
    monkeypatch.setattr(collection_files, "DOTS", 5)
    await client.get(found["links"]["beeswarm"])
    assert len(drawn[1][0]) == 5
    assert "5 of them are drawn" in drawn[1][3].subtitle
