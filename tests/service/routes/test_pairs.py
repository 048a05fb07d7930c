"""Pairs of two inputs over HTTP: pictures, texts and rows, from the request to the array, the picture, the advice."""

from __future__ import annotations

import asyncio
import io
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from PIL import Image
from redis import Redis
from torch import Tensor, nn

from service.app import create_app
from service.queue.queue import Queue
from service.render.frame import Caption
from service.render.plots.pairs import draw_pairs, side_of
from service.render.style import Look
from service.settings import Settings
from tests.orders import MODEL
from tests.redis_server import RedisServer
from tests.service.through_redis import patient_queue, serving, worker_of
from tests.service.working import WorkingQueue
from tests.several import LIKENESS, Likeness, model_of_inputs, rows_of
from tests.toys import model_of, net
from tests.tree import ROOT
from workers.datasets.library import Datasets
from workers.engine.model.model import Model
from workers.explanation.card import InputSpec
from workers.jobs import keys
from workers.jobs.records import Store
from workers.jobs.stored_results import Results
from workers.models.folder import read_folder
from workers.models.loading import load

URL = "/api/v1/explanations"
LINES = {"one": "die Katze sitzt unter dem Tisch", "other": "le chat dort sous la grande table du jardin"}
PAIR = '''

class Pair(Language):
    """The scalar product of what is made of two lines."""

    def vector(self, ids: Tensor) -> Tensor:
        there = (ids != PAD).unsqueeze(2).to(self.score.weight.dtype)
        x = self.act(self.near((self.pieces(ids) * there).transpose(1, 2)).transpose(1, 2)) * there
        return self.act2(self.mix(x.sum(1) / there.sum(1).clamp(min=1)))

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        return (self.vector(one) * self.vector(other)).sum(1)


def pair() -> nn.Module:
    return Pair().eval()
'''


class Users(nn.Module):
    """Columns of two rows, each summed up by weights."""

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        return (user[:, :3] * item).sum(1)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    planes = LIKENESS
    pictures = model_of_inputs(
        Likeness(), planes, rows_of(planes), torch.float32, output="value", digest="sha256:" + "1" * 64
    )
    named = {"user": InputSpec(shape=(4,), names=("age", "height", "weight", "none")), "item": InputSpec(shape=(3,))}
    rows = model_of_inputs(Users(), named, rows_of(named), torch.float32, output="value", digest="sha256:" + "2" * 64)
    alone = model_of(net(), (1, 8, 8), digest="sha256:" + "3" * 64)
    return {"pictures": pictures, "rows": rows, "alone": alone, "texts": _texts(tmp_path_factory.mktemp("models"))}


def _texts(folder: Path) -> Model:
    """The demo model's weights, in a model of two lines."""
    own = folder / "texts"
    shutil.copytree(ROOT / "models" / "language", own)
    code = own / "net.py"
    code.write_text(code.read_text() + PAIR)
    text = '\nkind = "text"\nshape = ["*"]\ntokenizer = "tokenizer.json"\nlength = 64\n'
    source = '[model]\nsource = "python:net.py:pair"\nweights = "weights.safetensors"\noutput = "value"\n'
    (own / "card.toml").write_text(f"{source}[inputs.one]{text}[inputs.other]{text}")
    found = load(read_folder(own))
    assert isinstance(found, Model)
    return found


@pytest.fixture
async def client(models: dict[str, Model]) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(body_limit=100_000, pixel_limit=10_000, log_level="CRITICAL")
    transport = httpx.ASGITransport(create_app(settings, WorkingQueue(models)))
    async with httpx.AsyncClient(transport=transport, base_url="http://whence") as client:
        yield client


def tensors(**inputs: Tensor) -> dict[str, Any]:
    return {name: {"tensor": {"shape": list(x.shape), "data": x.flatten().tolist()}} for name, x in inputs.items()}


ASKED: dict[str, dict[str, Any]] = {
    "pictures": tensors(
        left=torch.arange(64.0).view(1, 8, 8) / 64, right=torch.arange(64.0).flip(0).view(1, 8, 8) / 64
    ),
    "rows": tensors(user=torch.tensor([1.0, -2.0, 3.0, 9.0]), item=torch.tensor([1.0, 1.0, 2.0])),
    "texts": {name: {"text": line} for name, line in LINES.items()},
}


async def answered(client: httpx.AsyncClient, name: str) -> tuple[dict[str, Any], np.ndarray[Any, Any]]:
    body = {"model": name, "method": "bilrp", "inputs": ASKED[name]}
    answer = await client.post(URL, json=body)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    array = await client.get(told["arrays"]["pairs"]["npy"])
    return told, np.load(io.BytesIO(array.content))


@pytest.mark.parametrize("name", list(ASKED))
async def test_an_answer_has_pairs_halves_and_a_picture(client: httpx.AsyncClient, name: str) -> None:
    told, pairs = await answered(client, name)
    (check,) = told["checks"]
    assert check["name"] == "conservation"
    assert check["observed"] == pytest.approx(pairs.sum(), rel=1e-4)
    assert check["expected"] == pytest.approx(told["info"]["product"])
    assert told["explained"]["score"] == pytest.approx(told["info"]["product"], rel=1e-4)
    for axis, piece in enumerate(told["info"]["pieces"]):
        assert np.prod(piece["grid"]) == pairs.shape[axis]
        assert told["attributions"][piece["input"]]["sum"] == pytest.approx(pairs.sum() / 2, rel=1e-3, abs=1e-6)
    png = await client.get(told["links"]["heatmap"])
    assert Image.open(io.BytesIO(png.content)).format == "PNG"
    page = await client.get(told["links"]["self"], headers={"accept": "text/html"})
    assert page.text.count("data:image/png") == 1
    other = await client.get(told["links"]["overlay"])
    assert other.status_code == 200
    assert other.content != png.content


async def test_rows_are_paired_column_by_column(client: httpx.AsyncClient) -> None:
    _, pairs = await answered(client, "rows")
    np.testing.assert_allclose(pairs, [[1, 0, 0], [0, -2, 0], [0, 0, 6], [0, 0, 0]], atol=1e-6)


async def test_texts_are_paired_token_by_token_without_padding(client: httpx.AsyncClient) -> None:
    told, pairs = await answered(client, "texts")
    assert pairs.shape == tuple(len(told["texts"][name]["tokens"]) for name in LINES)


async def test_what_has_no_pairs_is_refused_with_what_works(client: httpx.AsyncClient) -> None:
    asked = {"model": "alone", "method": "bilrp", "input": tensors(x=torch.zeros(1, 8, 8))["x"]}
    refused = await client.post(URL, json=asked)
    assert refused.status_code == 422
    assert refused.json()["code"] == "method_not_applicable"
    assert "this model takes one" in refused.json()["detail"]
    for other in ("lrp", "input_times_gradient", "occlusion"):
        assert other in refused.json()["detail"]
        assert (await client.post(URL, json={**asked, "method": other})).status_code == 200


async def test_a_patch_of_nothing_is_refused_by_its_name(client: httpx.AsyncClient) -> None:
    body = {"model": "pictures", "method": {"name": "bilrp", "patch": 0}, "inputs": ASKED["pictures"]}
    refused = await client.post(URL, json=body)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/method/patch"


@pytest.fixture
async def queue(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Queue]:
    async with patient_queue(redis_server.url, monkeypatch) as queue:
        yield queue


async def test_a_worker_makes_them_and_tells_what_to_ask_where_it_cannot(
    queue: Queue, store: Store, results: Results, jobs: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through Redis: a unit of one picture alone has no pairs, and the advice is answered."""
    planes = LIKENESS
    model = model_of_inputs(Likeness(), planes, rows_of(planes), torch.float32, output="value", digest=MODEL)
    worker = worker_of(model, store, results, Datasets(tmp_path), jobs)
    body: dict[str, Any] = {"model": "several", "method": "bilrp", "inputs": ASKED["pictures"]}

    async def asked(client: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
        answer = await client.post(URL, json={**body, **more}, headers={"Prefer": "respond-async"})
        assert answer.status_code == 202, answer.text
        for priority in (keys.INTERACTIVE, keys.BATCH):
            await asyncio.to_thread(worker.answer, priority)
        found: dict[str, Any] = (await client.get(answer.headers["location"])).json()
        return found

    async with serving(queue, model, Datasets(tmp_path), monkeypatch) as client:
        told = await asked(client)
        assert told["status"] == "succeeded", told
        assert told["arrays"]["pairs"]["shape"] == [64, 64]
        refused = await asked(client, target={"layer": "encoder.0", "channel": 1})
        assert refused["status"] == 422
        assert "made of left alone" in refused["detail"]
        assert refused["alternatives"]
        for instead in refused["alternatives"]:
            other = await asked(client, target={"layer": "encoder.0", "channel": 1}, **instead)
            assert other["status"] == "succeeded", other


def shown(pairs: np.ndarray[Any, Any], **look: Any) -> np.ndarray[Any, Any]:
    """The picture of pairs of two rows."""
    one, other = (
        side_of({}, {"input": name, "grid": [count], "patch": 1}, (count,), None)
        for name, count in zip("ab", pairs.shape, strict=True)
    )
    png = draw_pairs(pairs.astype(np.float32), (one, other), Look(**look), Caption("t", "s"))
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), int)


def coloured(picture: np.ndarray[Any, Any], channel: int) -> int:
    """How many pixels of the lines are red (0) or blue (2)."""
    body = picture[60:, :-100]
    return int((body[..., channel] - body[..., 2 - channel] > 60).sum())


def test_lines_have_the_sign_of_a_pair_and_its_width() -> None:
    for_it, against = np.diag([1.0, 0.0, 0.0]), np.diag([0.0, 1.0, -1.0])
    assert coloured(shown(for_it), 0) > 100
    assert coloured(shown(for_it), 2) == 0
    both = shown(against)
    assert coloured(both, 0) > 100
    assert coloured(both, 2) > 100
    assert coloured(shown(against, polarity="positive"), 2) == 0
    assert coloured(shown(np.diag([1.0, 0.5])), 0) < coloured(shown(np.diag([1.0, 1.0])), 0)


def test_nothing_to_draw_and_more_than_fits_are_drawn_all_the_same() -> None:
    shown(np.zeros((3, 2)))
    shown(np.random.default_rng(0).normal(size=(300, 200)))
