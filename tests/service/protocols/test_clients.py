"""Other projects' own clients, and the examples of the documentation, against a running Whence."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from PIL import Image
from tritonclient.utils import InferenceServerException

from tests.patience import PATIENCE_S
from tests.service.protocols import kserve_client
from tests.service.protocols.running import running
from tests.tree import ROOT
from workers.contract import catalogue, decode_npy

DIGITS = (3, 4, 7)
DOCS = (ROOT / "docs/protocols.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(url.removeprefix("http://")) as client:
        yield client


@pytest.fixture
def native(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, trust_env=False, timeout=PATIENCE_S) as client:
        yield client


def pixels(*digits: int) -> triton.InferInput:
    rows = [np.asarray(Image.open(ROOT / f"examples/{digit}.png"), np.float32)[None] / 255 for digit in digits]
    given = triton.InferInput("input", [len(rows), 1, 28, 28], "FP32")
    given.set_data_from_numpy(np.stack(rows))
    return given


def targets(*indices: int) -> triton.InferInput:
    given = triton.InferInput("target", [len(indices)], "INT64")
    given.set_data_from_numpy(np.array(indices))
    return given


def test_triton_finds_its_way(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("digits")
    assert client.is_model_ready("digits~lrp", "1")
    assert not client.is_model_ready("made-up")
    assert client.get_server_metadata()["name"] == "whence"
    assert client.get_model_metadata("digits~lrp")["outputs"][0]["name"] == "attribution"
    assert client.get_model_repository_index()[0]["state"] == "READY"
    client.load_model("digits")
    client.unload_model("digits")
    assert not client.is_model_ready("digits")
    states = {one["name"]: one["state"] for one in client.get_model_repository_index()}
    assert states["digits"] == "UNAVAILABLE"
    client.load_model("digits")
    assert client.is_model_ready("digits")
    with pytest.raises(InferenceServerException, match="PUT /api/v1/models/digits"):
        client.load_model("digits", config='{"backend": "onnxruntime"}')


@pytest.mark.parametrize("binary", [True, False])
def test_triton_explains_each_row_as_the_native_api_does(
    client: triton.InferenceServerClient, native: httpx.Client, binary: bool
) -> None:
    """Row by row the numbers of `attribution.npy`, although three rows with three targets came in one call."""
    wanted = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("attribution", "explanation")]
    answer = client.infer("digits~lrp", [pixels(*DIGITS), targets(3, 9, 1)], outputs=wanted, request_id="a")
    assert answer.get_response()["id"] == "a"
    for index, attribution, document in zip(
        (3, 9, 1), answer.as_numpy("attribution"), answer.as_numpy("explanation"), strict=True
    ):
        told = json.loads(document)
        assert told["target"]["index"] == index
        kept = decode_npy(native.get(told["links"]["npy"]).content)
        np.testing.assert_array_equal(attribution, kept)


def test_triton_predicts_and_explains_at_once(client: triton.InferenceServerClient) -> None:
    """Predictions and explanations that wait together are not taken for each other."""
    asked = [client.async_infer(f"digits{rest}", [pixels(*DIGITS)]) for rest in ("", "~gradient", "", "~gradient")]
    answers = [one.get_result() for one in asked]
    for answer in answers[::2]:
        assert answer.as_numpy("scores").argmax(axis=1).tolist() == list(DIGITS)
    for answer in answers[1::2]:
        assert answer.as_numpy("attribution").shape == (3, 1, 28, 28)


def test_triton_reads_our_errors(client: triton.InferenceServerClient) -> None:
    for name, parameters, status in (("made-up", {}, "404"), ("digits~lrp", {"whence.made": 1}, "400")):
        with pytest.raises(InferenceServerException) as caught:
            client.infer(name, [pixels(3)], parameters=parameters)
        assert caught.value.status() == status


def test_kserves_explanations_are_the_native_ones(native: httpx.Client) -> None:
    row = (np.asarray(Image.open(ROOT / "examples/7.png"), np.float32)[None] / 255).tolist()
    asked = {"instances": [row, {"data": row, "target": 1}], "parameters": {"method": "integrated_gradients"}}
    first, second = native.post("/v1/models/digits:explain", json=asked).raise_for_status().json()["explanations"]
    assert [first["target"]["index"], second["target"]["index"]] == [7, 1]
    for one in (first, second):
        kept = decode_npy(native.get(one["links"]["npy"]).content)
        np.testing.assert_array_equal(np.array(one["attribution"], np.float32), kept)
        assert one["checks"][0]["gap"] < 0.02
        assert native.get(one["links"]["heatmap"]).content.startswith(b"\x89PNG")


def test_torchserves_curl_lines(native: httpx.Client) -> None:
    """curl URL -T FILE is a PUT of the file without a media type; -F data=@FILE is a form."""
    seven = (ROOT / "examples/7.png").read_bytes()
    predicted = native.put("/predictions/digits", content=seven).raise_for_status().json()
    assert next(iter(predicted)) == "7"
    put = native.put("/explanations/digits?method=lrp", content=seven).raise_for_status().json()
    form = native.post("/explanations/digits", files={"data": seven}, data={"method": "lrp", "target": "7"}).json()
    assert np.shape(put) == (1, 28, 28)
    np.testing.assert_allclose(put, form, atol=1e-6)
    assert native.get("/ping").json() == {"status": "Healthy"}


@pytest.mark.parametrize("code", EXAMPLES)
def test_the_examples_of_the_documentation_run(
    url: str, code: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if importlib.util.find_spec("kserve") is None:
        monkeypatch.setitem(sys.modules, "kserve", kserve_client)
    monkeypatch.chdir(ROOT)
    exec(code.replace("localhost:8000", url.removeprefix("http://")), {"__name__": "example"})
    said = capsys.readouterr().out
    assert said
    if "target" in code:
        assert [line.split()[0] for line in said.splitlines()[-2:]] == ["3", "9"]


def test_there_are_examples_for_both_clients() -> None:
    assert len(EXAMPLES) == 3
    assert {name for name in ("kserve", "tritonclient") if any(name in code for code in EXAMPLES)} == {
        "kserve",
        "tritonclient",
    }


def test_what_the_documentation_names_is_there() -> None:
    text: str = DOCS + (ROOT / "docs/coming_from.md").read_text()
    found: list[Any] = re.findall(r'\{"name": "(\w+)"((?:, "\w+": [^,}]+)*)\}', text)
    assert len(found) > 8
    for name, rest in ((name, rest) for name, rest in found if name != "digits"):
        fields = catalogue()[name].model_fields
        assert set(re.findall(r'"(\w+)":', rest)) <= fields.keys(), name
    for path in re.findall(r"\]\((\w+\.md)\)", text):
        assert Path(ROOT / "docs" / path).exists()
