"""Results that are no attributions: scores, graphs, what was made up, in the forms of each kind."""

from __future__ import annotations

import io

import httpx
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load

from service.explanations.documents import possible
from tests.orders import work
from tests.resources import InMemory, in_memory
from tests.service.fakes import FakeQueue
from tests.toys import inputs, model_of, net
from workers.engine.model.model import Model
from workers.runtime.execute.run import run

URL = "/api/v1/explanations"


@pytest.fixture(scope="module")
def model() -> Model:
    return model_of(net(), (1, 8, 8), image=True)


@pytest.fixture(scope="module")
def resources() -> InMemory:
    return in_memory(inputs(24, seed=2), np.arange(24) % 3)


def put(queue: FakeQueue, model: Model, resources: InMemory, **method: object) -> str:
    """The id of a finished explanation by that method."""
    asked = work(method=method)
    ((_, outcome),) = run([asked], lambda _: model, supply=lambda *_: resources)
    queue.results[asked.id] = dict(outcome.meta), dict(outcome.arrays)  # type: ignore[union-attr]  # it succeeds
    return asked.id


ASKED: list[tuple[dict[str, object], str, set[str]]] = [
    ({"name": "pixel_flipping", "steps": 3}, "scores", {"png", "csv"}),
    ({"name": "compare"}, "scores", {"png", "csv"}),
    ({"name": "ssa", "dataset": None}, "graph", {"png", "svg"}),
    ({"name": "activation_maximization", "steps": 2}, "synthesis", {"png"}),
    ({"name": "spray", "of": "gradient", "clusters": 2}, "clustering", {"png", "csv"}),
    ({"name": "ssa_clusters"}, "clustering", {"png", "csv"}),
]


@pytest.mark.parametrize(("method", "kind", "forms"), ASKED)
async def test_a_result_is_drawn_in_the_forms_of_its_kind(
    client: httpx.AsyncClient,
    queue: FakeQueue,
    model: Model,
    resources: InMemory,
    method: dict[str, object],
    kind: str,
    forms: set[str],
) -> None:
    key = put(queue, model, resources, **method)
    told = (await client.get(f"{URL}/{key}")).json()
    assert told["kind"] == kind
    assert {form for form in ("png", "svg", "csv") if form in told["links"]} == forms
    for form, media in (("png", "image/png"), ("svg", "image/svg+xml"), ("csv", "text/csv")):
        negotiated = await client.get(f"{URL}/{key}", headers={"accept": media})
        addressed = await client.get(f"{URL}/{key}/{kind}.{form}")
        if form in forms:
            assert negotiated.status_code == addressed.status_code == 200
            assert negotiated.content == addressed.content
            assert negotiated.headers["content-type"].startswith(media)
            assert addressed.headers["etag"]
        else:
            assert negotiated.status_code == 406
            assert addressed.status_code in (404, 422)
    page = await client.get(f"{URL}/{key}", headers={"accept": "text/html"})
    assert b"data:image/png;base64," in page.content


@pytest.mark.parametrize(
    "method",
    [method for method, *_ in ASKED] + [{"name": name} for name in ("gradient", "activation_rates", "neon_fit")],
)
async def test_a_refusal_beforehand_names_what_there_will_be(
    client: httpx.AsyncClient, queue: FakeQueue, model: Model, resources: InMemory, method: dict[str, object]
) -> None:
    key = put(queue, model, resources, **method)
    for media in possible((await client.get(f"{URL}/{key}")).json()["kind"]):
        answer = await client.get(f"{URL}/{key}", headers={"accept": media})
        assert answer.status_code == 200, media


@pytest.mark.parametrize("method", [method for method, *_ in ASKED] + [{"name": "gradient"}, {"name": "predict"}])
async def test_every_link_leads_somewhere(
    client: httpx.AsyncClient, queue: FakeQueue, model: Model, resources: InMemory, method: dict[str, object]
) -> None:
    key = put(queue, model, resources, **method)
    told = (await client.get(f"{URL}/{key}")).json()
    for name, link in [*told["links"].items(), *((array, one["npy"]) for array, one in told["arrays"].items())]:
        assert (await client.get(link)).status_code == 200, name
    if "safetensors" in told["links"]:
        by_link = await client.get(told["links"]["safetensors"])
        by_accept = await client.get(f"{URL}/{key}", headers={"accept": "application/vnd.safetensors"})
        (one,), (other,) = (load(answer.content).items() for answer in (by_link, by_accept))
        assert one[0] == other[0] == told["kind"]
        np.testing.assert_array_equal(one[1], other[1])
        wrong = await client.get(f"{URL}/{key}/other.safetensors")
        assert wrong.status_code == 404
        assert f"of the kind {told['kind']}" in wrong.json()["detail"]


async def test_the_table_of_scores_has_a_column_for_each_method(
    client: httpx.AsyncClient, queue: FakeQueue, model: Model, resources: InMemory
) -> None:
    key = put(queue, model, resources, name="pixel_flipping", of=["gradient", "occlusion"], steps=4)
    table = (await client.get(f"{URL}/{key}/scores.csv")).text.splitlines()
    assert table[0] == "patches taken away,gradient,occlusion"
    assert len(table) == 1 + 5


async def test_what_was_made_up_is_an_image_of_the_size_asked_for(
    client: httpx.AsyncClient, queue: FakeQueue, model: Model, resources: InMemory
) -> None:
    key = put(queue, model, resources, name="activation_maximization", steps=2)
    small, large = [
        Image.open(io.BytesIO((await client.get(f"{URL}/{key}/synthesis.png?size={size}")).content))
        for size in (96, 448)
    ]
    assert large.height - small.height == pytest.approx(448 - 96, abs=8)
    made = np.load(io.BytesIO((await client.get(f"{URL}/{key}/synthesis.npy")).content))
    assert made.shape == (1, 1, 8, 8)


async def test_a_picture_of_another_kind_is_not_there(
    client: httpx.AsyncClient, queue: FakeQueue, model: Model, resources: InMemory
) -> None:
    key = put(queue, model, resources, name="pixel_flipping", steps=3)
    answer = await client.get(f"{URL}/{key}/graph.svg")
    assert answer.status_code == 404
    assert "of the kind scores" in answer.json()["detail"]
    assert (await client.get(f"{URL}/{key}/heatmap.png")).status_code == 404


async def test_a_prediction_names_the_highest_classes(
    client: httpx.AsyncClient, queue: FakeQueue, model: Model, resources: InMemory
) -> None:
    short, whole = [
        Image.open(io.BytesIO((await client.get(f"{URL}/{key}/scores.png")).content))
        for key in (put(queue, model, resources, name="predict", top=top) for top in (1, 3))
    ]
    assert short.height < whole.height
    key = put(queue, model, resources, name="predict", top=1)
    rows = (await client.get(f"{URL}/{key}/scores.csv")).text.splitlines()
    assert rows[0] == "name,scores"
    assert [row.partition(",")[0] for row in rows[1:]] == ["0", "1", "2"]
