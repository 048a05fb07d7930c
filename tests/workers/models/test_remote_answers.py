"""Answers as servers, proxies and firewalls give them: numbers of any type, or a sentence that says what is there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch

from tests.workers.models.servers.fake_predictor import PATHS, Fake, Reply, served
from workers.engine.model.function import Function
from workers.explanation.card import InputSpec
from workers.explanation.errors import InvalidFolder, PredictorFailed
from workers.models.folder import read_folder
from workers.models.loading import load
from workers.models.remote.connection import Answer, Connection
from workers.models.remote.protocols import OpenInference
from workers.models.remote.section import RemoteSection

X = torch.tensor([[0.5, 2.0, -3.25], [1.0, -0.75, 0.125]])


@pytest.fixture
def fake() -> Iterator[Fake]:
    with served(Fake(lambda rows: 2 * rows)) as found:
        yield found


def loaded(path: Path, source: str, output: str = "logits", **remote: Any) -> Function:
    asked = {"retries": 0, "timeout": 30.0, **({} if source.startswith("open") else {"version": "1"}), **remote}
    card = {"model": {"source": source, "output": output}, "input": {"shape": [3]}, "remote": asked}
    (path / "card.toml").write_text(tomli_w.dumps(card))
    return load(read_folder(path))


def said(change: Callable[[dict[str, Any]], Any]) -> Callable[[int, Reply], None]:
    def fault(_: int, reply: Reply) -> None:
        told = json.loads(reply.body)
        reply.body = json.dumps(change(told) or told).encode()

    return fault


def output(**other: Any) -> Callable[[int, Reply], None]:
    return said(lambda told: told["outputs"][0].update(other))


def page(_: int, reply: Reply) -> None:
    reply.body, reply.headers = b"<html>Log in</html>", {"Content-Type": "text/html", "Content-Length": "19"}


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        (said(lambda _: {"outputs": [1]}), "has the outputs"),
        (said(lambda _: {"outputs": {"scores": 1}}), "has no outputs"),
        (said(lambda _: [1]), "has no outputs"),
        (output(parameters={"binary_data_size": "12"}), "0 bytes where it says 12"),
        (output(parameters={"binary_data_size": -1}), "0 bytes where it says -1"),
        (output(parameters=[1], shape=None), "that it says are None"),
        (output(data={"a": 1}), "an object where a number"),
        (page, "a page of HTML, as a login or a proxy has it"),
    ],
)
def test_an_answer_that_is_none_is_said_to_be(
    fault: Callable[[int, Reply], None], what: str, fake: Fake, tmp_path: Path
) -> None:
    model = loaded(tmp_path, fake.address)
    fake.fault = fault
    with pytest.raises(PredictorFailed, match=what):
        model.run(X)


@pytest.mark.parametrize(
    ("told", "what"),
    [
        ({"error": "model is not loaded"}, "answers 200: model is not loaded"),
        ({"error": {"code": 7, "message": "no such tensor"}}, "answers 200: no such tensor"),
        ({"error_code": "BAD_REQUEST", "message": "a column is missing"}, "answers 200: a column is missing"),
        ({"code": 503, "type": "ServiceUnavailable", "message": "no worker at http://10.0.0.7/"}, "no worker at …"),
    ],
)
@pytest.mark.parametrize("protocol", list(PATHS))
def test_an_error_is_one_though_its_status_is_200(protocol: str, told: Any, what: str, tmp_path: Path) -> None:
    with served(Fake(lambda rows: 2 * rows, protocol)) as fake:
        model = loaded(tmp_path, fake.address)
        fake.fault = said(lambda _: told)
        with pytest.raises(PredictorFailed, match=what):
            model.run(X)


@pytest.mark.parametrize(
    "told",
    [
        {"predictions": [{"1": 4.0, "0": 1.0, "2": -6.5}, {"1": -1.5, "0": 2.0, "2": 0.25}]},
        {"predictions": {"scores": [[1.0, 4.0, -6.5], [2.0, -1.5, 0.25]]}},
    ],
)
def test_columns_go_by_their_numbers_and_the_only_output_needs_no_name(told: Any, tmp_path: Path) -> None:
    with served(Fake(lambda rows: 2 * rows, "mlflow")) as fake:
        model = loaded(tmp_path, fake.address)
        fake.fault = said(lambda _: told)
        assert torch.equal(model.run(X), 2 * X)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_numbers_come_in_any_type(mark: bytes, fake: Fake, tmp_path: Path) -> None:
    """Those of bfloat16 are the upper halves of float32; servers of some languages put a mark before their JSON."""
    fake.fault = lambda _, reply: setattr(reply, "body", mark + reply.body)
    model = loaded(tmp_path, fake.address)
    torch.testing.assert_close(model.run(X), 2 * X)

    def binary(_: int, reply: Reply) -> None:
        bits = ((2 * X).numpy().view("<u4") >> 16).astype("<u2").tobytes()
        out = {"name": "y", "shape": [2, 3], "datatype": "BF16", "parameters": {"binary_data_size": len(bits)}}
        head = json.dumps({"model_version": "1", "outputs": [out]}).encode()
        reply.body = head + bits
        reply.headers = {"Inference-Header-Content-Length": str(len(head)), "Content-Length": str(len(reply.body))}

    fake.fault = binary
    torch.testing.assert_close(model.run(X), 2 * X)


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_labels_of_classes_are_taken_for_no_scores(shape: tuple[int, ...], fake: Fake, tmp_path: Path) -> None:
    """As scikit-learn's `predict` gives them: explained as a probability they would be nonsense."""
    fake.compute = lambda rows: rows.argmax(1).reshape(shape)
    fake.fault = output(datatype="INT64")
    for kind in ("logits", "binary", "probabilities"):
        with pytest.raises(InvalidFolder, match=r"as the label of a class is; .*predict_proba"):
            loaded(tmp_path, fake.address, output=kind)
    assert loaded(tmp_path, fake.address, output="value").run(X).flatten().tolist() == [1, 0]


@pytest.mark.parametrize(
    "told", [{"versions": "12", "inputs": {"x": 1}, "outputs": ["y"]}, {"versions": None, "inputs": ["x"]}]
)
def test_a_description_of_another_form_says_nothing(told: dict[str, Any]) -> None:
    class Told(Connection):
        def get(self, _: str) -> Answer:
            return Answer(json.dumps(told).encode(), {})

    asked = OpenInference("http://far", RemoteSection(), InputSpec(shape=(3,)), (), "tensor")
    assert asked.describe(Told("m", "http://far", {}, timeout=1, retries=0, requests=1)) is None
    assert json.loads(asked.request(X.numpy()).body)["inputs"][0]["shape"] == [2, 3]


TWO = [[0.25, 0.75], [0.5, 0.5]]


@pytest.mark.parametrize(
    ("many", "one", "expected"),
    [
        ("0.25,0.5", "0.25", [0.25, 0.5]),
        ("0.25\n0.5\n", "0.25\n", [0.25, 0.5]),
        ("0.25,0.75\n0.5,0.5", "0.25,0.75", TWO),
        ("[0.25, 0.75],[0.5, 0.5]", "[0.25, 0.75]", TWO),
        ("[0.25, 0.75]\n[0.5, 0.5]\n", "[0.25, 0.75]\n", TWO),
    ],
)
def test_csv_comes_a_row_a_line_or_in_one_line_as_sagemakers_xgboost_has_it(
    many: str, one: str, expected: Any, tmp_path: Path
) -> None:
    def csv(_: int, reply: Reply) -> None:
        rows = len(far.asked[-1].split())
        reply.body, reply.headers = (many if rows == 2 else one).encode(), {"Content-Type": "text/csv"}
        reply.headers["Content-Length"] = str(len(reply.body))

    with served(Fake(lambda rows: rows, protocol="mlflow", fault=csv)) as far:
        kind = "probabilities" if expected is TWO else "value"
        model = loaded(tmp_path, far.address, kind, send="csv-rows")
        torch.testing.assert_close(model.run(X), torch.tensor(expected))
        torch.testing.assert_close(model.run(X[:1]), torch.tensor(expected[:1]))
    assert far.asked[-1] == b"0.5,2.0,-3.25\n"
