"""/api/v1/datasets, and explanations that name a dataset."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.settings import Settings
from tests.service.fakes import FakeQueue
from tests.workers.datasets.dataset_files import PETS, npz, placed, png, tarred, zipped

URL = "/api/v1/datasets"
EXPLAIN = "/api/v1/explanations"
INPUTS = np.linspace(0, 1, 6 * 64, dtype=np.float32).reshape(6, 1, 8, 8)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        datasets=tmp_path, body_limit=20_000, dataset_limit=100_000, dataset_items=100, log_level="CRITICAL"
    )


def code(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


async def test_a_dataset_is_sent_read_listed_and_deleted(client: httpx.AsyncClient, tmp_path: Path) -> None:
    sent = await client.post(URL, content=zipped(PETS), headers={"content-type": "application/zip"})
    assert sent.status_code == 201
    shown = sent.json()
    assert (shown["kind"], shown["count"], shown["classes"], shown["name"]) == ("images", 6, ["cat", "dog"], None)
    assert sent.headers["location"] == shown["links"]["self"] == f"{URL}/{shown['digest']}"
    assert (await client.get(shown["links"]["self"])).json() == shown
    assert (await client.get(URL)).json() == {"datasets": [shown]}
    again = await client.post(URL, content=tarred(PETS))
    assert (again.status_code, again.json()) == (200, shown)
    gone = await client.delete(shown["links"]["self"])
    assert (gone.status_code, gone.content) == (204, b"")
    assert code(await client.get(shown["links"]["self"])) == (404, "not_found")
    assert code(await client.delete(shown["links"]["self"])) == (404, "not_found")
    assert (await client.get(URL)).json() == {"datasets": []}
    assert list(tmp_path.iterdir()) == []


async def test_the_operators_dataset_is_shown_and_stays(client: httpx.AsyncClient, tmp_path: Path) -> None:
    placed(tmp_path / "pets", PETS)
    assert code(await client.delete(f"{URL}/pets")) == (409, "dataset_placed")
    shown = (await client.get(f"{URL}/pets")).json()
    assert (shown["name"], shown["count"], shown["links"]["self"]) == ("pets", 6, f"{URL}/pets")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", (422, "invalid_dataset")),
        (b"hello", (422, "invalid_dataset")),
        (zipped({"../0.png": png(1)}), (422, "invalid_dataset")),
        (npz(labels=np.arange(3)), (422, "invalid_dataset")),
        (npz(inputs=np.zeros((101, 2), np.float32)), (413, "input_too_large")),
        (zipped({"0.png": png(1), "1.png": bytes(20_001)}), (413, "input_too_large")),
        (bytes(100_001), (413, "input_too_large")),
    ],
)
async def test_what_is_no_dataset_is_told_and_leaves_nothing(
    client: httpx.AsyncClient, tmp_path: Path, data: bytes, expected: tuple[int, str]
) -> None:
    assert code(await client.post(URL, content=data)) == expected
    assert list(tmp_path.iterdir()) == []


async def test_a_body_that_does_not_say_its_length_is_bounded_too(client: httpx.AsyncClient, tmp_path: Path) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield bytes(10_000)

    assert code(await client.post(URL, content=parts())) == (413, "input_too_large")
    assert list(tmp_path.iterdir()) == []


async def test_a_dataset_may_be_larger_than_an_input(client: httpx.AsyncClient, png: bytes) -> None:
    data = npz(False, inputs=np.zeros((80, 64), np.float32))
    assert len(data) > 20_000
    assert (await client.post(URL, content=data)).status_code == 201
    assert code(await client.post(EXPLAIN, params={"model": "digits"}, content=data)) == (413, "input_too_large")


def rates(dataset: str, **more: Any) -> dict[str, Any]:
    return {"model": "digits", "method": {"name": "activation_rates", "dataset": dataset}, **more}


async def test_a_dataset_by_name_is_the_dataset_by_digest(
    client: httpx.AsyncClient, queue: FakeQueue, tmp_path: Path
) -> None:
    placed(tmp_path / "pets", PETS)
    digest = (await client.get(f"{URL}/pets")).json()["digest"]
    by_name, by_digest = [await client.post(EXPLAIN, json=rates(name)) for name in ("pets", digest)]
    assert by_name.status_code == 200
    assert by_name.json()["id"] == by_digest.json()["id"]
    assert by_digest.headers["cache-status"] == "whence; hit"
    assert by_name.json()["method"]["dataset"] == digest
    assert (queue.orders[0].job.input, queue.orders[0].job.target, queue.orders[0].input) == (None, None, None)
    placed(tmp_path / "pets", {"cat/9.png": png(9)})
    changed = await client.post(EXPLAIN, json=rates("pets"))
    assert changed.json()["id"] != by_name.json()["id"]


async def test_a_dataset_within_a_held_method_is_resolved_too(
    client: httpx.AsyncClient, queue: FakeQueue, tmp_path: Path, png: bytes
) -> None:
    placed(tmp_path / "training", PETS)
    digest = (await client.get(f"{URL}/training")).json()["digest"]
    query = {"model": "digits", "method": "insens"}
    answer = await client.post(EXPLAIN, params=query, content=png)
    assert answer.status_code == 200
    assert answer.json()["method"]["rates"]["dataset"] == digest


@pytest.mark.parametrize(
    ("method", "pointer"),
    [
        ("activation_rates", "/method/dataset"),
        ({"name": "activation_rates", "dataset": "../pets"}, "/method/dataset"),
        ({"name": "activation_rates", "dataset": "sha256:" + "0" * 64}, "/method/dataset"),
        ({"name": "insens", "rates": {"name": "activation_rates", "dataset": "x"}}, "/method/rates/dataset"),
        (["gradient", {"name": "activation_rates", "dataset": "x"}], "/method/1/dataset"),
    ],
)
async def test_an_unknown_dataset_is_told_by_its_place(
    client: httpx.AsyncClient, queue: FakeQueue, method: object, pointer: str
) -> None:
    answer = await client.post(EXPLAIN, json={"model": "digits", "method": method})
    assert code(answer) == (422, "unknown_dataset")
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert queue.orders == []


async def test_a_dataset_that_the_model_cannot_take_is_told_before_any_work(
    client: httpx.AsyncClient, queue: FakeQueue, tmp_path: Path
) -> None:
    placed(tmp_path / "pets", PETS)
    small = (await client.post(URL, content=npz(inputs=INPUTS[..., :4]))).json()["digest"]
    for model, dataset in (("table", "pets"), ("table", small), ("digits", small)):
        answer = await client.post(EXPLAIN, json=rates(dataset) | {"model": model})
        assert code(answer) == (422, "invalid_dataset")
        assert answer.json()["errors"][0]["pointer"] == "/method/dataset"
    assert queue.orders == []


async def test_what_has_no_picture_is_not_begun_for_one(
    client: httpx.AsyncClient, queue: FakeQueue, tmp_path: Path
) -> None:
    placed(tmp_path / "pets", PETS)
    answer = await client.post(EXPLAIN, json=rates("pets"), headers={"accept": "image/png"})
    assert code(answer) == (406, "not_acceptable")
    assert queue.orders == []
