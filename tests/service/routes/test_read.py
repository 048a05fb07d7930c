"""GET of an explanation: representations, conditions, states, and the addresses of its parts."""

from __future__ import annotations

import io
import json

import httpx
import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load

from service.queue.status import Problem, State
from tests.service.fakes import FakeQueue

URL = "/api/v1/explanations"
ABSENT = "0" * 64


@pytest.fixture
async def key(client: httpx.AsyncClient, png: bytes) -> str:
    """The id of a finished explanation."""
    answer = await client.post(f"{URL}?model=digits&target=1", content=png, headers={"content-type": "image/png"})
    return str(answer.json()["id"])


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("image/png", "image/png"),
        ("image/*;q=0.5, application/json;q=0.4", "image/png"),
        ("application/x-npy", "application/x-npy"),
        ("application/vnd.safetensors, */*;q=0.1", "application/vnd.safetensors"),
        ("text/html,application/xhtml+xml,image/avif,*/*;q=0.8", "text/html; charset=utf-8"),
        ("application/json;q=0, */*", "image/png"),
    ],
)
async def test_accept_chooses_the_form(client: httpx.AsyncClient, key: str, accept: str | None, media: str) -> None:
    answer = await client.get(f"{URL}/{key}", headers={} if accept is None else {"accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == media
    assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert answer.headers["vary"] == "Accept"
    assert answer.headers["cache-status"] == "whence; hit"


async def test_the_forms_hold_the_same_numbers(client: httpx.AsyncClient, key: str) -> None:
    npy = np.load(io.BytesIO((await client.get(f"{URL}/{key}", headers={"accept": "application/x-npy"})).content))
    tensors = load((await client.get(f"{URL}/{key}/attribution.safetensors")).content)
    inline = (await client.get(f"{URL}/{key}?inline=true")).json()["attribution"]
    assert npy.shape == (1, 8, 8)
    assert np.array_equal(npy, np.load(io.BytesIO((await client.get(f"{URL}/{key}/attribution.npy")).content)))
    assert np.array_equal(npy, tensors["attribution"])
    assert np.array_equal(npy, np.reshape(np.float32(inline["data"]), inline["shape"]))
    assert inline["sum"] == pytest.approx(float(npy.sum()), abs=1e-5)


async def test_numbers_are_not_inlined_unasked(client: httpx.AsyncClient, key: str) -> None:
    document = (await client.get(f"{URL}/{key}")).json()
    assert "data" not in document["attribution"]
    assert "receipt" not in document
    for path in document["links"].values():
        assert (await client.get(path)).status_code == 200


async def test_an_array_is_one_read(client: httpx.AsyncClient, queue: FakeQueue, key: str) -> None:
    for path, headers in ((f"{URL}/{key}/attribution.npy", {}), (f"{URL}/{key}", {"accept": "application/x-npy"})):
        queue.reads = 0
        assert (await client.get(path, headers=headers)).status_code == 200
        assert queue.reads == 1


@pytest.mark.parametrize("path", ["", "/heatmap.png", "/attribution.npy", "/receipt", "?inline=true"])
async def test_a_client_that_has_it_is_told_so(client: httpx.AsyncClient, key: str, path: str) -> None:
    tag = (await client.get(f"{URL}/{key}{path}")).headers["etag"]
    assert not tag.startswith("W/")
    again = await client.get(f"{URL}/{key}{path}", headers={"if-none-match": f'"other", {tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert (await client.get(f"{URL}/{key}{path}", headers={"if-none-match": '"other"'})).status_code == 200


async def test_each_form_has_a_tag_of_its_own(client: httpx.AsyncClient, key: str) -> None:
    forms = ("application/json", "image/png", "application/x-npy", "application/vnd.safetensors", "text/html")
    tags = {(await client.get(f"{URL}/{key}", headers={"accept": form})).headers["etag"] for form in forms}
    tags.add((await client.get(f"{URL}/{key}?inline=true")).headers["etag"])
    assert len(tags) == 6


@pytest.mark.parametrize("wrong", [ABSENT, "7", "0" * 63 + "G", "0" * 65, "..%2f"])
@pytest.mark.parametrize("path", ["", "/heatmap.png", "/attribution.npy", "/receipt"])
async def test_an_unknown_id_is_not_found(client: httpx.AsyncClient, wrong: str, path: str) -> None:
    answer = await client.get(f"{URL}/{wrong}{path}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_until_it_is_finished_its_state_is_the_answer(client: httpx.AsyncClient, queue: FakeQueue) -> None:
    queue.put(ABSENT, "running")
    answer = await client.get(f"{URL}/{ABSENT}?wait=100", headers={"accept": "image/png"})
    assert (answer.status_code, answer.json()["status"]) == (200, "running")
    assert answer.headers["cache-control"] == "no-store"
    assert queue.waited == [60.0]
    part = await client.get(f"{URL}/{ABSENT}/heatmap.png")
    assert (part.status_code, part.json()["code"]) == (409, "not_finished")
    assert part.headers["retry-after"]


@pytest.mark.parametrize(
    ("state", "code", "status"),
    [("failed", "out_of_memory", 500), ("expired", "result_expired", 410), ("succeeded", "result_expired", 410)],
)
async def test_what_has_no_result_any_more_says_why(
    client: httpx.AsyncClient, queue: FakeQueue, state: State, code: str, status: int
) -> None:
    queue.put(ABSENT, state, Problem(code=code, detail="it did not fit") if state == "failed" else None)
    for path in ("", "/attribution.npy"):
        answer = await client.get(f"{URL}/{ABSENT}{path}")
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert answer.headers["content-type"] == "application/problem+json"


async def test_cancelled_is_a_state(client: httpx.AsyncClient, queue: FakeQueue) -> None:
    queue.put(ABSENT, "cancelled")
    assert (await client.get(f"{URL}/{ABSENT}")).json()["status"] == "cancelled"
    assert (await client.get(f"{URL}/{ABSENT}/heatmap.png")).status_code == 409


@pytest.mark.parametrize("name", ["heatmap", "overlay", "gray", "mask", "scaled", "projection"])
async def test_pictures_take_their_look_from_the_query(client: httpx.AsyncClient, key: str, name: str) -> None:
    plain = await client.get(f"{URL}/{key}/{name}.png")
    small = await client.get(f"{URL}/{key}/{name}.png", params={"size": 64, "polarity": "positive", "wait": 1})
    assert plain.headers["content-type"] == small.headers["content-type"] == "image/png"
    large, little = (Image.open(io.BytesIO(answer.content)) for answer in (plain, small))
    assert large.width > little.width


@pytest.mark.parametrize("query", ["size=1e9", "colormap=jet", "clip=nan", "polarty=both", "colormap=heat"])
async def test_a_wrong_look_is_named(client: httpx.AsyncClient, key: str, query: str) -> None:
    answer = await client.get(f"{URL}/{key}/heatmap.png?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_parameter")
    assert answer.json()["errors"][0]["pointer"] == "/" + query.partition("=")[0]


async def test_an_unknown_picture_or_array_is_not_found(client: httpx.AsyncClient, key: str) -> None:
    assert (await client.get(f"{URL}/{key}/selfie.png")).status_code == 404
    assert (await client.get(f"{URL}/{key}/synthesis.npy")).status_code == 404


async def test_what_a_result_can_never_be_is_refused_before_it_is_made(
    client: httpx.AsyncClient, queue: FakeQueue, png: bytes
) -> None:
    headers = {"content-type": "image/png", "accept": "text/csv"}
    refused = await client.post(f"{URL}?model=digits&method=gradient", content=png, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (406, "not_acceptable")
    assert "image/png" in refused.json()["detail"]
    assert "text/csv" not in refused.json()["detail"]
    assert not queue.known


async def test_a_prediction_is_drawn_as_bars(client: httpx.AsyncClient, png: bytes) -> None:
    post = f"{URL}?model=digits&method=predict"
    drawn = await client.post(post, content=png, headers={"content-type": "image/png", "accept": "image/png"})
    assert drawn.headers["content-type"] == "image/png"
    key = (await client.post(post, content=png, headers={"content-type": "image/png"})).json()["id"]
    assert (await client.get(f"{URL}/{key}", headers={"accept": "image/png"})).content == drawn.content
    assert np.load(io.BytesIO((await client.get(f"{URL}/{key}/scores.npy")).content)).shape == (3,)
    page = await client.get(f"{URL}/{key}", headers={"accept": "text/html"})
    assert "<img" in page.text
    assert (await client.get(f"{URL}/{key}?inline=true")).json()["scores"]["data"][1] == pytest.approx(0.7)


async def test_the_page_stands_alone_and_trusts_no_name(client: httpx.AsyncClient, queue: FakeQueue, key: str) -> None:
    queue.results[key][0]["target"]["label"] = "<script>alert(1)</script>"
    page = (await client.get(f"{URL}/{key}", headers={"accept": "text/html"})).text
    assert "data:image/png;base64," in page
    assert "<script" not in page
    assert "http://" not in page
    assert "https://" not in page


async def test_the_receipt_names_what_determines_the_result(client: httpx.AsyncClient, key: str) -> None:
    receipt = (await client.get(f"{URL}/{key}/receipt")).json()
    assert receipt["id"] == key
    assert receipt["job"]["method"]["name"] == "gradient"


async def test_a_safetensors_file_says_what_it_holds(client: httpx.AsyncClient, key: str, tmp_path: object) -> None:
    content = (await client.get(f"{URL}/{key}", headers={"accept": "application/vnd.safetensors"})).content
    file = f"{tmp_path}/x.safetensors"
    with open(file, "wb") as out:
        out.write(content)
    with safe_open(file, "np") as opened:
        assert opened.metadata()["id"] == key
        assert json.loads(opened.metadata()["method"])["name"] == "gradient"


async def test_a_table_is_drawn_as_bars(client: httpx.AsyncClient) -> None:
    tensor = {"shape": [4], "data": [1, 2, 3, 4]}
    request = {"model": "table", "method": "gradient", "input": {"tensor": tensor}}
    answer = await client.post(URL, json=request, headers={"accept": "image/png"})
    assert Image.open(io.BytesIO(answer.content)).format == "PNG"
