"""POST of several inputs: in JSON and in parts, from the request to the numbers and the picture."""

from __future__ import annotations

import io
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load

from service.app import create_app
from service.settings import Settings
from tests.service.working import WorkingQueue
from tests.several import batch_of_inputs, toy
from workers.contract import encode_npy
from workers.engine.model.inputs import named
from workers.engine.model.model import Model
from workers.methods.method import parse_method

URL = "/api/v1/explanations"
ROW = [0.5, -1.0, 0.25, 2.0, 0.0]


@pytest.fixture(scope="module")
def model() -> Model:
    return toy("image and row", torch.float32)[1]


@pytest.fixture
async def client(model: Model) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(body_limit=100_000, pixel_limit=10_000, log_level="CRITICAL")
    transport = httpx.ASGITransport(create_app(settings, WorkingQueue({"both": model})))
    async with httpx.AsyncClient(transport=transport, base_url="http://whence") as client:
        yield client


@pytest.fixture(scope="module")
def picture() -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(out, "PNG")
    return out.getvalue()


def body(picture: bytes, **more: Any) -> dict[str, Any]:
    inputs = {"image": {"image": b64encode(picture).decode()}, "row": {"tensor": {"shape": [5], "data": ROW}}}
    return {"model": "both", "method": "integrated_gradients", "target": 1, "inputs": inputs, **more}


async def test_who_sends_nothing_is_told_what_to_send(client: httpx.AsyncClient) -> None:
    refused = (await client.post(URL, json={"model": "both", "method": "gradient"})).json()
    assert refused["errors"] == [
        {"pointer": "/inputs", "detail": "gradient explains an input; send inputs: image, row"}
    ]


async def test_json_and_parts_are_one_explanation(client: httpx.AsyncClient, picture: bytes) -> None:
    first = await client.post(URL, json=body(picture))
    assert first.status_code == 200, first.text
    nested = body(picture)
    nested["input"] = {"inputs": nested.pop("inputs")}
    asked = json.dumps({"model": "both", "method": "integrated_gradients", "target": 1})
    row = encode_npy(np.array(ROW, np.float32))
    others = [
        await client.post(URL, json=nested),
        await client.post(URL, files={"image": ("i.png", picture), "row": ("r.npy", row)}, data={"request": asked}),
        await client.post(URL, json=body(picture, inputs=None, input={"digest": first.json()["input"]})),
    ]
    assert [other.status_code for other in others] == [200] * 3, [other.text for other in others]
    assert {other.json()["id"] for other in others} == {first.json()["id"]}


@pytest.mark.parametrize("again", ["image", "inputs.image", "request", "other"])
async def test_what_comes_twice_is_refused(client: httpx.AsyncClient, picture: bytes, again: str) -> None:
    """Only one of them could count, and it would be a guess which."""
    asked = json.dumps({"model": "both", "method": "gradient", "target": 1}).encode()
    row = encode_npy(np.array(ROW, np.float32))
    sent = [("image", ("i.png", picture)), ("row", ("r.npy", row)), ("request", (None, asked)), (again, ("x", b"{}"))]
    refused = await client.post(URL, files=sent if again != "other" else [*sent, sent[-1]])
    assert refused.status_code == 422
    assert [one["pointer"] for one in refused.json()["errors"]] == ["/" + again.removeprefix("inputs.")]


async def test_a_query_parameter_that_comes_twice_is_refused(client: httpx.AsyncClient, picture: bytes) -> None:
    refused = await client.post(
        f"{URL}?model=both&model=digits", content=picture, headers={"content-type": "image/png"}
    )
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/model"


async def test_each_input_has_its_numbers(client: httpx.AsyncClient, model: Model, picture: bytes) -> None:
    told = (await client.post(URL, json=body(picture))).json()
    assert {name: one["shape"] for name, one in told["attributions"].items()} == {"image": [3, 8, 8], "row": [5]}
    total = sum(one["sum"] for one in told["attributions"].values())
    assert total == pytest.approx(told["checks"][0]["expected"], rel=1e-4)
    arrays = load((await client.get(told["links"]["safetensors"])).content)
    pixels = np.asarray(Image.open(io.BytesIO(picture)), np.float32).transpose(2, 0, 1)
    rows = {"image": torch.from_numpy((pixels / 255 - 0.5) / 0.5)[None], "row": torch.tensor([ROW])}
    result = parse_method("integrated_gradients").explain(model, batch_of_inputs(model, rows))
    for name, values in named(result, model.card.input, maps=False).arrays.items():
        np.testing.assert_allclose(arrays[name], values[0].numpy(), rtol=1e-4, atol=1e-7)
        own = await client.get(told["arrays"][name]["npy"])
        np.testing.assert_array_equal(np.load(io.BytesIO(own.content)), arrays[name])


async def test_the_picture_shows_both(client: httpx.AsyncClient, picture: bytes) -> None:
    answer = await client.post(URL, json=body(picture), headers={"accept": "image/png"})
    assert answer.headers["content-type"] == "image/png"
    shown = Image.open(io.BytesIO(answer.content))
    assert shown.width > 700  # a map, and bars beside it
    page = await client.post(URL, json=body(picture), headers={"accept": "text/html"})
    assert "data:image/png" in page.text


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ({"image": {"image": "AAAA"}}, "nothing for row"),
        ({"image": {"image": "AAAA"}, "column": {"tensor": {"shape": [5], "data": ROW}}}, "there are: image, row"),
        (
            {"image": {"digest": "sha256:" + "0" * 64}, "row": {"tensor": {"shape": [5], "data": ROW}}},
            "a digest is of all inputs",
        ),
    ],
)
async def test_what_is_missing_is_named(client: httpx.AsyncClient, inputs: dict[str, Any], told: str) -> None:
    answer = await client.post(URL, json={"model": "both", "method": "gradient", "inputs": inputs})
    assert answer.status_code == 422
    assert told in json.dumps(answer.json())


async def test_one_input_is_not_enough(client: httpx.AsyncClient, picture: bytes) -> None:
    answer = await client.post(URL, content=picture, headers={"content-type": "image/png"}, params={"model": "both"})
    assert answer.status_code == 422
    assert "image (image [3, 8, 8]), row (tensor [5])" in answer.json()["detail"]


async def test_the_three_protocols_take_inputs_by_name(client: httpx.AsyncClient, picture: bytes) -> None:
    pixels = np.asarray(Image.open(io.BytesIO(picture)), np.float32).transpose(2, 0, 1)
    image = ((pixels / 255 - 0.5) / 0.5).tolist()
    asked = {"method": {"name": "gradient"}, "target": 1}
    native = await client.post(
        URL,
        json={"model": "both", **asked, "inputs": {
            "image": {"tensor": {"shape": [3, 8, 8], "data": image}}, "row": {"tensor": {"shape": [5], "data": ROW}},
        }},
    )  # fmt: skip
    expected = load((await client.get(native.json()["links"]["safetensors"])).content)
    one = {"image": image, "row": ROW}
    v1 = await client.post("/v1/models/both:explain", json={"instances": [one], "parameters": asked})
    assert v1.status_code == 200, v1.text
    serve = await client.post("/explanations/both", json={"data": [one], "method": "gradient", "target": 1})
    assert serve.status_code == 200, serve.text
    tensors = [
        {"name": name, "datatype": "FP32", "shape": [1, *np.shape(values)], "data": np.ravel(values).tolist()}
        for name, values in one.items()
    ]
    parameters = {"whence.method": "gradient", "whence.target": 1}
    v2 = await client.post("/v2/models/both/explain", json={"inputs": tensors, "parameters": parameters})
    assert v2.status_code == 200, v2.text
    by_name = {
        out["name"]: np.reshape(out["data"], out["shape"]) for out in v2.json()["outputs"] if "FP32" in out.values()
    }
    for name in one:
        wanted = expected[f"attribution.{name}"]
        np.testing.assert_allclose(v1.json()["explanations"][0]["attribution"][name], wanted, rtol=1e-5)
        np.testing.assert_allclose(serve.json()[0][name], wanted, rtol=1e-5)
        np.testing.assert_allclose(by_name[f"attribution.{name}"][0], wanted, rtol=1e-5)
    told = (await client.get("/v2/models/both")).json()
    assert [given["name"] for given in told["inputs"]] == ["image", "row", "target"]


async def test_fields_beside_the_part_request_are_not_dropped(client: httpx.AsyncClient, picture: bytes) -> None:
    """Whoever sends a method there would get another one's explanation."""
    asked = json.dumps({"model": "both"}).encode()
    row = encode_npy(np.array(ROW, np.float32))
    sent = {"image": ("i.png", picture), "row": ("r.npy", row), "request": (None, asked), "method": (None, b"gradient")}
    refused = await client.post(URL, files=sent)
    assert refused.status_code == 422
    assert [one["pointer"] for one in refused.json()["errors"]] == ["/method"]


async def test_an_input_may_be_called_as_a_field_is(model: Model, picture: bytes) -> None:
    """Its part is then inputs.NAME."""
    named = {"model": model.card.inputs["image"], "row": model.card.inputs["row"]}
    queue = WorkingQueue({"both": model})
    served = queue.models()
    card = model.card.model_copy(update={"name": "both", "inputs": named})
    app = create_app(Settings(log_level="CRITICAL"), queue)
    queue.models = lambda: replace(served, cards={"both": card})  # type: ignore[method-assign]
    row = encode_npy(np.array(ROW, np.float32))
    sent = {"inputs.model": ("i.png", picture), "row": ("r.npy", row), "model": (None, b"both")}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://whence") as client:
        answer = await client.post(URL, files={**sent, "method": (None, b"none such")})
    assert answer.json()["code"] == "unknown_method", answer.text
