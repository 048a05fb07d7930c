"""Many texts, and many items of several inputs, in one job: through the API and a worker, on a real Redis."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from PIL import Image
from redis import Redis
from safetensors.numpy import load

from service.queue.queue import Queue
from tests import orders
from tests.redis_server import RedisServer
from tests.service.routes.test_collections import URL, asked, made, post
from tests.service.through_redis import patient_queue, serving, worker_of
from tests.several import batch_of_inputs, toy
from tests.toys import language
from tests.workers.datasets.dataset_files import npz, npz_by_name, sent
from workers.datasets.library import Datasets
from workers.engine.model.function import Function
from workers.engine.model.inputs import named
from workers.jobs.records import Store
from workers.jobs.stored_results import Results
from workers.methods.method import parse_method
from workers.runtime.worker import Worker

LINES = [
    "le chat dort sous la grande table",
    "die Katze sagte er",
    "the children walked home",
    "le chat dort",
    "der Hund",
]


@dataclass
class House:
    """What serves one model."""

    model: Function
    worker: Worker
    client: httpx.AsyncClient
    datasets: Datasets

    def asked(self, digest: str, method: object, **more: Any) -> dict[str, Any]:
        return {**asked(self.model, digest, method), **more}  # type: ignore[arg-type]  # its card is looked at


@pytest.fixture
async def queue(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Queue]:
    async with patient_queue(redis_server.url, monkeypatch) as queue:
        yield queue


@pytest.fixture
async def house(
    request: pytest.FixtureRequest, queue: Queue, store: Store, results: Results, jobs: Redis, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[House]:  # fmt: skip
    model: Function = request.param()
    datasets = Datasets(tmp_path)
    worker = worker_of(model, orders.serving(store, model.card.digest), results, datasets, jobs)
    async with serving(queue, model, datasets, monkeypatch) as client:
        yield House(model, worker, client, datasets)


def both() -> Function:
    return toy("image and row", torch.float32)[1]


of_texts = pytest.mark.parametrize("house", [language], indirect=True)
of_both = pytest.mark.parametrize("house", [both], indirect=True)


def rows(count: int) -> dict[str, np.ndarray[Any, Any]]:
    draw = np.random.default_rng(0)
    return {"image": draw.normal(size=(count, 3, 8, 8)).astype("f4"), "row": draw.normal(size=(count, 5)).astype("f4")}


@of_both
async def test_items_of_several_inputs_are_what_they_are_alone(house: House) -> None:
    given = rows(5)
    by_name = {f"inputs.{name}": one for name, one in given.items()}
    card = sent(house.datasets, npz_by_name({"labels": np.arange(5) % 2, **by_name}))
    assert (card.kind, card.shape, card.inputs) == ("several", None, {"image": (3, 8, 8), "row": (5,)})
    whole = await made(house.client, house.worker, house.asked(card.digest, "integrated_gradients", target=1))
    assert whole["info"]["maps"] == ["attribution.image", "attribution.row"]
    inputs = {
        name: {"tensor": {"shape": list(one[3].shape), "data": one[3].ravel().tolist()}} for name, one in given.items()
    }
    alone = {"model": house.model.card.name, "method": "integrated_gradients", "target": 1, "inputs": inputs}
    again = await house.client.post(URL, json=alone)
    assert again.json()["id"] == whole["items"][3]["id"], again.text
    assert again.headers["cache-status"].endswith("hit")

    found = named(
        parse_method("integrated_gradients").explain(
            house.model, batch_of_inputs(house.model, {k: torch.from_numpy(v) for k, v in given.items()})  # type: ignore[arg-type]
        ),
        house.model.card.input, maps=False,
    ).arrays  # fmt: skip
    stacked = load((await house.client.get(whole["links"]["safetensors"])).content)
    for name in given:
        np.testing.assert_allclose(stacked[f"attribution.{name}"], found[f"attribution.{name}"], rtol=1e-4, atol=1e-6)
        means = np.load(io.BytesIO((await house.client.get(f"{URL}/{whole['id']}/means.{name}.npy")).content))
        wanted = stacked[f"attribution.{name}"]
        np.testing.assert_allclose(means, [wanted[0::2].mean(0), wanted[1::2].mean(0)], rtol=1e-4, atol=1e-7)
    archive = zipfile.ZipFile(io.BytesIO((await house.client.get(whole["links"]["archive"])).content))
    assert {f"attributions/{i}.{name}.npy" for i in range(5) for name in given} <= set(archive.namelist())
    for picture in ("collection.png", "contact_sheet.png"):
        drawn = await house.client.get(f"{URL}/{whole['id']}/{picture}")
        assert Image.open(io.BytesIO(drawn.content)).height > 200, drawn.text
    assert (await house.client.get(f"{URL}/{whole['id']}/beeswarm.png")).status_code == 404


@of_both
async def test_items_whose_method_tells_of_one_input_alone_have_all_files(house: House) -> None:
    card = sent(house.datasets, npz_by_name({f"inputs.{name}": one for name, one in rows(3).items()}))
    whole = await made(house.client, house.worker, house.asked(card.digest, "grad_cam", target=1))
    assert whole["info"]["maps"] == ["attribution.image"]
    archive = zipfile.ZipFile(io.BytesIO((await house.client.get(whole["links"]["archive"])).content))
    assert {f"attributions/{i}.image.npy" for i in range(3)} <= set(archive.namelist())
    assert load((await house.client.get(whole["links"]["safetensors"])).content)["attribution.image"].shape == (
        3,
        1,
        8,
        8,
    )
    for picture in ("collection.png", "contact_sheet.png"):
        drawn = await house.client.get(f"{URL}/{whole['id']}/{picture}")
        assert Image.open(io.BytesIO(drawn.content)).height > 200, drawn.text


@of_texts
async def test_texts_are_explained_in_one_job_by_word(house: House) -> None:
    card = sent(house.datasets, npz(inputs=np.array(LINES), labels=np.array([1, 2, 0, 1, 2])))
    assert (card.kind, card.shape, card.count) == ("texts", None, 5)
    whole = await made(house.client, house.worker, house.asked(card.digest, "lrp"))
    alone = await house.client.post(
        URL, json={"model": house.model.card.name, "method": "lrp", "input": {"text": LINES[0]}}
    )
    told = alone.json()
    assert told["id"] == whole["items"][0]["id"]
    sums: dict[str, float] = {}
    for line in (LINES[0], LINES[3]):  # which have one label
        one = await house.client.post(
            URL, json={"model": house.model.card.name, "method": "lrp", "input": {"text": line}}
        )
        for word in one.json()["texts"]["input"]["words"]:
            sums[word["text"]] = sums.get(word["text"], 0.0) + word["value"]
    (words,) = (one["words"] for one in whole["info"]["words"]["input"] if one["index"] == 1)
    assert {word["text"]: word["sum"] for word in words} == pytest.approx(sums)
    assert next(word["count"] for word in words if word["text"] == "chat") == 2

    archive = zipfile.ZipFile(io.BytesIO((await house.client.get(whole["links"]["archive"])).content))
    lines = [json.loads(line) for line in archive.read("texts.jsonl").splitlines()]
    assert lines[0]["texts"] == told["texts"]
    assert np.load(io.BytesIO(archive.read("attributions/0.npy"))).shape == (len(told["texts"]["input"]["tokens"]),)
    assert len(list(csv.reader(io.StringIO(archive.read("index.csv").decode())))) == 6
    refused = await house.client.get(f"{URL}/{whole['id']}/collection.safetensors")
    assert (refused.status_code, "archive.zip" in refused.text) == (404, True)
    for picture in ("collection.png", "contact_sheet.png"):
        drawn = await house.client.get(f"{URL}/{whole['id']}/{picture}")
        assert Image.open(io.BytesIO(drawn.content)).height > 200, drawn.text
    assert "beeswarm" not in whole["links"]


@of_texts
async def test_what_looks_at_many_texts_at_once_is_told_that_they_differ_in_length(house: House) -> None:
    digest = sent(house.datasets, npz(inputs=np.array(LINES))).digest
    method = {"name": "activation_rates", "dataset": digest}
    answer = await post(house.client, {"model": house.model.card.name, "method": method})
    house.worker.answer("interactive")
    found = (await house.client.get(answer.headers["location"])).json()
    assert found["code"] == "invalid_dataset", found
    assert "in place of '*'" in found["detail"]


@of_both
@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({"inputs.image": np.zeros((2, 3, 8, 8))}, "a .npz has inputs.image, inputs.row"),
        ({"inputs": np.zeros((2, 5))}, "one input for each item (tensors)"),
        ({"inputs.image": np.zeros((2, 3, 8, 8)), "inputs.row": np.zeros((2, 4))}, "row holds tensors of the shape"),
        ({"inputs.image": np.zeros((2, 3, 8, 8)), "inputs.row": np.array(["a", "b"])}, "inputs.row holds texts"),
    ],
)  # fmt: skip
async def test_a_dataset_of_other_inputs_is_refused_by_name(house: House, arrays: dict[str, Any], why: str) -> None:
    digest = sent(house.datasets, npz_by_name(arrays)).digest
    answer = await post(house.client, house.asked(digest, "gradient"))
    assert answer.status_code == 422
    assert why in answer.json()["detail"], answer.text
