"""Inputs by name in the protocols: what is wrong with them is told, and targets come beside all that a model takes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from service.app import create_app
from service.settings import Settings
from tests.service.working import WorkingQueue
from tests.several import toy

ONE: dict[str, Any] = {"image": np.zeros((3, 8, 8)).tolist(), "row": [0.5, -1.0, 0.25, 2.0, 0.0]}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    queue = WorkingQueue({"both": toy("image and row", torch.float32)[1]})
    transport = httpx.ASGITransport(create_app(Settings(log_level="CRITICAL"), queue), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://whence") as client:
        yield client


@pytest.mark.parametrize(("instance", "told"), [({**ONE, "other": 3}, "other"), ({"row": ONE["row"]}, "image")])
async def test_an_input_too_many_or_too_few_is_named(
    client: httpx.AsyncClient, instance: dict[str, Any], told: str
) -> None:
    instances = [ONE, instance]
    first = await client.post("/v1/models/both:explain", json={"instances": instances})
    assert first.status_code == 400, first.text
    assert "/instances/1" in first.text
    assert told in first.text
    second = await client.post("/explanations/both", json={"data": instances})
    assert second.status_code == 400, second.text
    assert told in second.text


async def test_targets_come_beside_all_inputs(client: httpx.AsyncClient) -> None:
    """As the metadata says it: a tensor of each input, and one of targets."""
    told = (await client.get("/v2/models/both")).json()["inputs"]
    values = [[ONE["image"]] * 2, [ONE["row"]] * 2, [2, 0]]
    inputs = [
        {"name": one["name"], "datatype": one["datatype"], "shape": np.shape(each), "data": np.ravel(each).tolist()}
        for one, each in zip(told, values, strict=True)
    ]
    answer = await client.post("/v2/models/both~gradient/infer", json={"inputs": inputs})
    assert answer.status_code == 200, answer.text
    documents = next(one["data"] for one in answer.json()["outputs"] if one["name"] == "explanation")
    assert [json.loads(one)["target"]["index"] for one in documents] == [2, 0]
