"""POST of a text: in JSON, in a form and as it is, from the request to words with numbers, a picture and a page."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator

import httpx
import numpy as np
import pytest
from PIL import Image

from service.app import create_app
from service.settings import Settings
from tests.service.working import WorkingQueue
from tests.toys import language, model_of, net
from workers.engine.model.model import Model

URL = "/api/v1/explanations"
LINE = "die Katze, sagte er"


@pytest.fixture(scope="module")
def model() -> Model:
    return language()


@pytest.fixture
async def client(model: Model) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(body_limit=100_000, pixel_limit=10_000, log_level="CRITICAL")
    queue = WorkingQueue({"language": model, "toy": model_of(net(), (1, 8, 8), digest="sha256:" + "1" * 64)})
    transport = httpx.ASGITransport(create_app(settings, queue))
    async with httpx.AsyncClient(transport=transport, base_url="http://whence") as client:
        yield client


async def test_every_way_to_send_a_text_is_one_explanation(client: httpx.AsyncClient) -> None:
    first = await client.post(URL, json={"model": "language", "method": "lrp", "input": {"text": LINE}})
    assert first.status_code == 200, first.text
    query = {"model": "language", "method": "lrp"}
    plain = {"content-type": "text/plain; charset=utf-8"}
    others = [
        await client.post(URL, params=query, content=LINE.encode(), headers=plain),
        await client.post(URL, data=query, files={"input": (None, LINE.encode())}),
        await client.post(URL, data=query, files={"input": ("line.txt", LINE.encode())}),
        await client.post(URL, json={**query, "inputs": {"input": {"text": LINE}}}),
        await client.post(URL, json={**query, "input": {"digest": first.json()["input"]}}),
    ]
    assert [other.status_code for other in others] == [200] * 5, [other.text for other in others]
    assert {other.json()["id"] for other in others} == {first.json()["id"]}


async def test_the_answer_has_words_a_picture_a_page_and_an_array(client: httpx.AsyncClient) -> None:
    request = {"model": "language", "method": "integrated_gradients", "target": "German", "input": {"text": LINE}}
    answer = (await client.post(URL, json=request)).json()
    words = answer["texts"]["input"]["words"]
    assert [word["text"] for word in words] == ["die", "Katze", ",", "sagte", "er"]
    assert sum(word["value"] for word in words) == pytest.approx(answer["attribution"]["sum"], rel=1e-4)
    png = await client.post(URL, json=request, headers={"accept": "image/png"})
    assert Image.open(io.BytesIO(png.content)).format == "PNG"
    page = await client.post(URL, json=request, headers={"accept": "text/html"})
    assert page.text.count("<output>") == len(words)
    array = np.load(io.BytesIO((await client.post(URL, json=request, headers={"accept": "application/x-npy"})).content))
    assert array.shape == (len(answer["texts"]["input"]["tokens"]),)


@pytest.mark.parametrize(("model_name", "wanted"), [("language", "a text"), ("toy", "a tensor")])
async def test_who_sends_nothing_is_told_what_to_send(client: httpx.AsyncClient, model_name: str, wanted: str) -> None:
    refused = (await client.post(URL, json={"model": model_name, "method": "gradient"})).json()
    assert refused["errors"] == [{"pointer": "/input", "detail": f"gradient explains an input; send {wanted}"}]


async def test_what_is_no_text_is_told_what_would_be_right(client: httpx.AsyncClient) -> None:
    async def refused(request: dict[str, object]) -> tuple[int, str, str]:
        answer = await client.post(URL, json={"method": "gradient", **request})
        return answer.status_code, answer.json()["code"], answer.json()["detail"]

    picture = io.BytesIO()
    Image.new("RGB", (4, 4)).save(picture, "PNG")
    raw = {"content-type": "image/png"}
    sent = await client.post(URL, params={"model": "language"}, content=picture.getvalue(), headers=raw)
    assert (sent.status_code, sent.json()["code"]) == (422, "invalid_text")
    assert await refused({"model": "language", "input": {"text": "  "}}) == (
        422, "invalid_text", "the text is empty; send at least one word",
    )  # fmt: skip
    status, code, detail = await refused({"model": "toy", "input": {"text": LINE}})
    assert (status, code) == (422, "invalid_text")
    assert detail == "the model takes a tensor of the shape [1, 8, 8], not a text"
    long = {"tensor": {"shape": [65], "data": [1] * 65}}
    status, code, detail = await refused({"model": "language", "input": long})
    assert (status, code) == (422, "invalid_tensor")
    assert "up to 64" in detail


async def test_the_card_tells_what_the_model_takes(client: httpx.AsyncClient) -> None:
    card = (await client.get("/api/v1/models/language")).json()
    spec = card["inputs"]["input"]
    assert (spec["kind"], spec["shape"], spec["length"]) == ("text", ["*"], 64)


async def test_kserve_takes_texts_as_instances(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/models/language:predict", json={"instances": [LINE, {"text": "le chat"}]})
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["predictions"]) == 2
