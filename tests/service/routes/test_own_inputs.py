"""A baseline or shift of one's own: sent as an input is, known by its digest, and what it does."""

from __future__ import annotations

import io
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from service.app import create_app
from service.settings import Settings
from tests.service.working import WorkingQueue
from tests.several import toy
from tests.toys import model_of
from workers.contract import digest_image, digest_tensor
from workers.engine.model.model import Model

URL = "/api/v1/explanations"
ROW = [0.5, -1.0, 0.25, 2.0, 0.0]
OTHER = [1.0, 1.0, -1.0, 0.0, 3.0]
WEIGHTS = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0]])


def tensor(values: list[float]) -> dict[str, Any]:
    return {"tensor": {"shape": [len(values)], "data": values}}


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    linear = nn.Sequential(nn.Linear(5, 1))
    linear[0].weight.data = WEIGHTS
    pixels = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    return {
        "linear": model_of(linear, (5,), digest="sha256:" + "1" * 64),
        "pixels": model_of(pixels, (1, 8, 8), image=True, digest="sha256:" + "2" * 64),
        "both": toy("image and row", torch.float32)[1],
    }


@pytest.fixture
async def client(models: dict[str, Model]) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(body_limit=100_000, pixel_limit=10_000, log_level="CRITICAL")
    transport = httpx.ASGITransport(create_app(settings, WorkingQueue(models)))
    async with httpx.AsyncClient(transport=transport, base_url="http://whence") as client:
        yield client


def png(value: int) -> str:
    out = io.BytesIO()
    Image.new("L", (8, 8), value).save(out, "PNG")
    return b64encode(out.getvalue()).decode()


async def explained(client: httpx.AsyncClient, method: dict[str, Any], **more: Any) -> dict[str, Any]:
    asked = {"model": "linear", "method": method, "target": 0, "input": tensor(ROW), **more}
    answer = await client.post(URL, json=asked)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    if "attribution" in told:
        own = await client.get(told["arrays"]["attribution"]["npy"])
        told["values"] = np.load(io.BytesIO(own.content))
    return told


@pytest.mark.parametrize("name", ["integrated_gradients", "deep_lift"])
async def test_a_tensor_is_a_baseline_by_its_digest(client: httpx.AsyncClient, name: str) -> None:
    told = await explained(client, {"name": name, "baseline": tensor(OTHER)})
    digest = digest_tensor(np.array(OTHER, np.float32))
    assert told["method"]["baseline"] == {"digest": digest}
    wanted = WEIGHTS[0] * (torch.tensor(ROW) - torch.tensor(OTHER))
    np.testing.assert_allclose(told["values"], wanted, rtol=1e-5)
    again = await explained(client, {"name": name, "baseline": {"digest": digest}})
    assert again["id"] == told["id"]
    plain = await explained(client, {"name": name})
    assert plain["id"] != told["id"]


async def test_a_held_method_has_its_own(client: httpx.AsyncClient) -> None:
    of = {"name": "integrated_gradients", "baseline": tensor(OTHER)}
    told = await explained(client, {"name": "smooth_grad", "of": of, "samples": 1, "noise": 0})
    wanted = WEIGHTS[0] * (torch.tensor(ROW) - torch.tensor(OTHER))
    np.testing.assert_allclose(told["values"], wanted, rtol=1e-5)


async def test_an_image_is_made_ready_as_the_input_is(client: httpx.AsyncClient) -> None:
    method = {"name": "integrated_gradients", "baseline": {"image": png(255)}}
    asked = {"model": "pixels", "target": 1, "input": {"image": png(40)}}
    own = await explained(client, method, **asked)
    white = await explained(client, {"name": "integrated_gradients", "baseline": "white"}, **asked)
    np.testing.assert_allclose(own["values"], white["values"], rtol=1e-5, atol=1e-7)
    same = await explained(client, {"name": "deep_lift", "baseline": {"image": png(40)}}, **asked)
    assert np.abs(same["values"]).max() == 0
    assert same["method"]["baseline"] == {"digest": digest_image(b64decode(png(40)))}


async def test_of_several_inputs_all_are_sent(client: httpx.AsyncClient) -> None:
    picture = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "PNG")
    inputs = {"image": {"image": b64encode(out.getvalue()).decode()}, "row": tensor(ROW)}
    asked: dict[str, Any] = {"model": "both", "target": 1, "inputs": inputs}
    for baseline, code in (({"inputs": inputs}, 200), (tensor(ROW), 422)):
        method = {"name": "integrated_gradients", "baseline": baseline}
        answer = await client.post(URL, json={**asked, "method": method})
        assert answer.status_code == code, answer.text
        if code == 200:
            assert answer.json()["attributions"]["row"]["max"] == 0


async def test_a_wanted_map_is_shown(client: httpx.AsyncClient) -> None:
    told = await explained(client, {"name": "shift_attack", "wanted": tensor(OTHER)})
    np.testing.assert_allclose(told["values"], OTHER, rtol=1e-4, atol=1e-5)
    told = await explained(client, {"name": "input_shift_invariance", "shift": tensor(OTHER), "of": "gradient"})
    assert told["info"]["invariant"] == [True]


@pytest.mark.parametrize(
    ("baseline", "code", "pointer", "said"),
    [
        ({"digest": "sha256:" + "9" * 64}, 422, "/method/baseline/digest", "send its bytes"),
        (tensor([1.0, 2.0]), 422, "/method/baseline", "[5]"),
        ({"image": "AAAA"}, 422, "/method/baseline", "these bytes are neither"),
        ({"picture": "AAAA"}, 422, "/method/baseline", "one of zero, minimum"),
        ("blac", 422, "/method/baseline", "one of zero, minimum"),
        ({"tensor": [1.0]}, 422, "/method/baseline/tensor", "a JSON object"),
    ],
)
async def test_what_is_no_baseline_is_pointed_at(
    client: httpx.AsyncClient, baseline: Any, code: int, pointer: str, said: str
) -> None:
    asked = {"model": "linear", "input": tensor(ROW), "method": {"name": "deep_lift", "baseline": baseline}}
    answer = await client.post(URL, json=asked)
    assert answer.status_code == code, answer.text
    (first, *_) = answer.json()["errors"]
    assert first["pointer"] == pointer, answer.text
    assert said in first["detail"]
