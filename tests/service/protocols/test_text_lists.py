"""Lists of texts in each form that clients of the protocols write, on the demo of words: the same two texts."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest

from service.app import create_app
from service.settings import Settings
from tests.service.working import WorkingQueue
from tests.toys import language
from workers.engine.model.model import Model

TEXTS = ["die Katze, sagte er", "le chat dort sous la table"]
ENCODED = [b64encode(text.encode()).decode() for text in TEXTS]
V1: dict[str, dict[str, Any]] = {
    "texts": {"instances": TEXTS},
    "objects": {"instances": [{"text": text} for text in TEXTS]},
    "by the input's name": {"instances": [{"input": text} for text in TEXTS]},
    "as data": {"instances": [{"data": text} for text in TEXTS]},
    "base64": {"instances": [{"b64": one} for one in ENCODED]},
    "inputs": {"inputs": TEXTS},
    "rows of one column": {"instances": [[text] for text in TEXTS]},
    "columns of one": {"instances": [{"text": [text]} for text in TEXTS]},
    "nested deeper": {"instances": [[[text]] for text in TEXTS]},
}
V2: dict[str, dict[str, Any]] = {
    "BYTES": {"name": "input", "shape": [2]},
    "a column": {"name": "input", "shape": [2, 1]},
    "nested": {"name": "input", "shape": [2, 1], "data": [[text] for text in TEXTS]},
    "no name": {"name": "input-0", "shape": [2]},
    "MLServer's codec": {"name": "input-0", "shape": [2, 1], "parameters": {"content_type": "str"}},
    "MLServer's base64": {"name": "input", "shape": [2], "data": ENCODED, "parameters": {"content_type": "base64"}},
}
TORCHSERVE: dict[str, Any] = {
    "data": {"data": TEXTS},
    "instances": {"instances": TEXTS},
    "a list": TEXTS,
    "rows": [[text] for text in TEXTS],
}


@pytest.fixture(scope="module")
def model() -> Model:
    return language()


@pytest.fixture
async def client(model: Model) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Settings(log_level="CRITICAL"), WorkingQueue({"language": model}))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://whence") as client:
        yield client


async def ids(client: httpx.AsyncClient, method: str) -> list[str]:
    """Those of the explanations of the two texts, each sent alone."""
    body = {"model": "language", "method": method}
    found = [await client.post("/api/v1/explanations", json={**body, "input": {"text": text}}) for text in TEXTS]
    return [one.json()["id"] for one in found]


@pytest.mark.parametrize("form", V1)
async def test_v1(client: httpx.AsyncClient, form: str) -> None:
    answer = await client.post("/v1/models/language:explain", json=V1[form])
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert [one["id"] for one in told["explanations"]] == await ids(client, "integrated_gradients")
    assert np.argmax(told["predictions"], axis=1).tolist() == [2, 1]  # German, French


@pytest.mark.parametrize("form", V2)
async def test_v2(client: httpx.AsyncClient, form: str) -> None:
    tensor = {"datatype": "BYTES", "data": TEXTS, **V2[form]}
    answer = await client.post("/v2/models/language~gradient/infer", json={"inputs": [tensor]})
    assert answer.status_code == 200, answer.text
    told = next(one["data"] for one in answer.json()["outputs"] if one["name"] == "explanation")
    assert [json.loads(one)["id"] for one in told] == await ids(client, "gradient")


@pytest.mark.parametrize("form", TORCHSERVE)
async def test_torchserve(client: httpx.AsyncClient, form: str) -> None:
    answer = await client.post("/predictions/language", json=TORCHSERVE[form])
    assert answer.status_code == 200, answer.text
    alone = [await client.post("/predictions/language", content=text.encode()) for text in TEXTS]
    for found, expected in zip(answer.json(), alone, strict=True):
        assert found == pytest.approx(expected.json(), rel=1e-4)


async def test_base64_that_is_none_is_told(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/models/language:explain", json={"instances": [{"b64": "die Katze"}]})
    assert answer.status_code == 400
    assert "b64 holds a text in UTF-8 as base64" in answer.text


async def test_the_metadata_of_a_text_say_bytes(client: httpx.AsyncClient) -> None:
    """What a client sends by them is taken."""
    told = (await client.get("/v2/models/language~gradient")).json()
    assert told["inputs"][0] == {"name": "input", "datatype": "BYTES", "shape": [-1]}
    assert told["outputs"][0] == {"name": "attribution", "datatype": "FP32", "shape": [-1, -1]}


async def test_a_column_of_base64_for_the_whole_request_and_as_binary_data(client: httpx.AsyncClient) -> None:
    """What is said of all inputs is said of each; the letters may come after the JSON."""
    packed = b"".join(len(one).to_bytes(4, "little") + one.encode() for one in ENCODED)
    tensor = {"name": "input", "datatype": "BYTES", "shape": [2, 1], "parameters": {"binary_data_size": len(packed)}}
    head = json.dumps({"inputs": [tensor], "parameters": {"content_type": "base64"}}).encode()
    answer = await client.post(
        "/v2/models/language~gradient/infer", content=head + packed,
        headers={"Inference-Header-Content-Length": str(len(head))},
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    told = next(one["data"] for one in answer.json()["outputs"] if one["name"] == "explanation")
    assert [json.loads(one)["id"] for one in told] == await ids(client, "gradient")


@pytest.mark.parametrize(
    ("codec", "data", "told"),
    [
        ("base64", ["die Katze"], "the content type is base64, and an element is none"),
        ("base64", [b64encode(b"\xff\xfe\xfd").decode()], "UTF-8"),
        ("datetime", ["2026-11-29"], "elements of the content type 'datetime' are not read: send a text as it is"),
        ("hg_json", ["{}"], "elements of the content type 'hg_json' are not read"),
        ("hg_jsonlist", ["{}"], "elements of the content type 'hg_jsonlist' are not read"),
    ],
)
async def test_elements_that_are_not_what_their_codec_says_are_told(
    client: httpx.AsyncClient, codec: str, data: list[str], told: str
) -> None:
    tensor = {"name": "input", "datatype": "BYTES", "shape": [1], "data": data, "parameters": {"content_type": codec}}
    answer = await client.post("/v2/models/language~gradient/infer", json={"inputs": [tensor]})
    assert answer.status_code == 400
    assert told in answer.json()["error"]


@pytest.mark.parametrize(
    "instance", [["le chat", "die Katze"], [], [[]], None, True, {"prompt": "le chat"}, {"text": 3}]
)
async def test_what_is_no_text_is_told_what_a_text_is(client: httpx.AsyncClient, instance: Any) -> None:
    """And each form that it names is taken."""
    answer = await client.post("/v1/models/language:explain", json={"instances": [instance]})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith('an instance is one text: "..", {"text": ".."} or [".."]; or the ids')
    for form in ("le chat", {"text": "le chat"}, ["le chat"], [5, 6]):
        answer = await client.post("/v1/models/language:explain", json={"instances": [form]})
        assert answer.status_code == 200, answer.text


async def test_a_text_by_another_name_is_told_its_names(client: httpx.AsyncClient) -> None:
    for name, code in (("text", 400), ("input", 200), ("input-0", 200)):
        tensor = {"name": name, "datatype": "BYTES", "shape": [1], "data": TEXTS[:1]}
        answer = await client.post("/v2/models/language/infer", json={"inputs": [tensor]})
        assert answer.status_code == code, answer.text
        assert code == 200 or "the texts are named input, input-0 will do" in answer.json()["error"]
