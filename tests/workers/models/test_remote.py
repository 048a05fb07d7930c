"""Models that another server computes: asked in its own protocol, the same numbers, or an error in a sentence."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
import torch
from numpy.typing import NDArray
from torch import nn

from tests.toys import batch_of, model_of
from tests.workers.models.servers.fake_predictor import PATHS, Fake, Reply, served
from workers.engine.model.function import Function, looking
from workers.engine.model.model import Model
from workers.explanation.errors import (
    Cancelled,
    PredictorAway,
    PredictorChanged,
    PredictorError,
    PredictorFailed,
    PredictorUnavailable,
)
from workers.methods.method import parse_method
from workers.models.folder import read_folder
from workers.models.loading import load
from workers.models.remote.connection import Connection

X = torch.tensor([[0.1, -1.0, 2.5, 0.0, 3.25], [1.0, 0.5, -0.75, 2.0, -0.1]])


@cache
def toy() -> Model:
    torch.manual_seed(0)
    return model_of(nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)), (5,))


@pytest.fixture(autouse=True, scope="module")
def _made() -> None:
    """The toy takes seconds to be exported, and a server's first answer should not."""
    toy()


def compute(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return toy().run(torch.from_numpy(rows.astype(np.float32))).double().numpy()


@pytest.fixture
def fake() -> Iterator[Fake]:
    with served(Fake(compute)) as found:
        yield found


def folder(path: Path, source: str, remote: dict[str, Any] | None = None, **model: Any) -> Path:
    asked = {"retries": 1, "timeout": 60.0, **({} if source.startswith("open") else {"version": "1"}), **(remote or {})}
    card = {"model": {"source": source, **model}, "input": {"shape": [5]}, "remote": asked}
    path.mkdir(exist_ok=True)
    (path / "card.toml").write_text(tomli_w.dumps(card))
    return path


def loaded(path: Path, fake: Fake, **remote: Any) -> Function:
    return load(read_folder(folder(path / "far", fake.address, remote)))


@pytest.mark.parametrize("protocol", list(PATHS))
@pytest.mark.parametrize("name", ["predict", "kernel_shap", "shapley_sampling", "occlusion", "lime"])
def test_every_protocol_gives_the_numbers_of_the_model_itself(protocol: str, name: str, tmp_path: Path) -> None:
    method = parse_method({"name": name, **({"samples": 20} if name == "lime" else {})})
    with served(Fake(compute, protocol)) as fake:
        there = loaded(tmp_path, fake)
        found = method.explain(there, batch_of(X, seeds=[1, 2])).rows()
    here = method.explain(toy(), batch_of(X, seeds=[1, 2])).rows()
    for own, other in zip(here, found, strict=True):
        for key, array in own.arrays.items():
            np.testing.assert_allclose(other.arrays[key], array, rtol=1e-5, atol=1e-6)


def test_requests_hold_no_more_rows_and_come_no_more_at_a_time_than_the_card_says(fake: Fake, tmp_path: Path) -> None:
    there = loaded(tmp_path, fake, rows=8, requests=2)
    parse_method("kernel_shap").explain(there, batch_of(X, seeds=[1, 2]))
    assert max(fake.rows) == 8
    assert fake.most <= 2
    assert there.chunk <= 16


def spoilt(change: Callable[[dict[str, Any]], None]) -> Callable[[int, Reply], None]:
    def fault(_: int, reply: Reply) -> None:
        told = json.loads(reply.body)
        change(told["outputs"][0])
        reply.body = json.dumps(told).encode()

    return fault


def status(code: int, said: str = "", **headers: str) -> Callable[[int, Reply], None]:
    def fault(_: int, reply: Reply) -> None:
        reply.status, reply.body = code, json.dumps({"error": said}).encode()
        reply.headers |= {name.replace("_", "-"): value for name, value in headers.items()}

    return fault


def hang(until: threading.Event) -> None:
    until.wait(60)


def nothing(_: int, reply: Reply) -> None:
    reply.body, reply.headers = b"", {"Content-Length": "99", "Connection": "close"}


TRACEBACK = """Traceback (most recent call last):
  File "/srv/model.py", line 3, in predict
    raise ValueError("two columns are missing")
ValueError: two columns are missing"""
FAULTS: list[tuple[Callable[[int, Reply], None], type[PredictorError], str]] = [
    (spoilt(lambda out: out.update(shape=[1, 3], data=out["data"][:3])), PredictorFailed, "answered 2 rows with 1"),
    (spoilt(lambda out: out.update(data=[float("nan"), *out["data"][1:]])), PredictorFailed, "NaN or infinity"),
    (spoilt(lambda out: out.update(data=[1e300, *out["data"][1:]])), PredictorFailed, "NaN or infinity"),
    (spoilt(lambda out: out.update(data=[None, *out["data"][1:]])), PredictorFailed, "null where a number should be"),
    (spoilt(lambda out: out.update(shape=[2, 1, 3])), PredictorFailed, r"\[1, 3\] numbers a row, and with \[3\]"),
    (spoilt(lambda out: out.update(shape=[2, 4])), PredictorFailed, r"6 numbers that it says are \[2, 4\]"),
    (spoilt(lambda out: out.update(data=["setosa"] * 6)), PredictorFailed, "text, as 'setosa'"),
    (status(400, "column 'age' is missing"), PredictorFailed, "answers 400: column 'age' is missing$"),
    (status(500, "boom"), PredictorFailed, "answers 500: boom"),
    (status(500, TRACEBACK), PredictorFailed, "answers 500: ValueError: two columns are missing$"),
    (status(301, Location="http://elsewhere/"), PredictorFailed, "redirect"),
    (status(503, "overloaded"), PredictorUnavailable, "answers 503: overloaded"),
    (status(429, "slow down", Retry_After="3600"), PredictorUnavailable, "answers 429: slow down"),
    (nothing, PredictorUnavailable, "broke off"),
]


@pytest.mark.parametrize(("fault", "kind", "said"), FAULTS)
def test_what_is_wrong_with_an_answer_is_said_in_a_sentence(
    fault: Callable[[int, Reply], None], kind: type[PredictorError], said: str, fake: Fake, tmp_path: Path
) -> None:
    there = loaded(tmp_path, fake, retries=0)
    fake.fault = fault
    with pytest.raises(kind, match=said) as error:
        there.run(X)
    assert "127.0.0.1" not in error.value.detail


def test_neither_address_nor_secret_is_told(fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREDICTOR_TOKEN", "s3cret-token")
    monkeypatch.setenv("PREDICTOR_KEY", "k3y")
    there = loaded(tmp_path, fake, token="PREDICTOR_TOKEN", headers={"X-Key": "PREDICTOR_KEY"})
    assert (fake.headers[0]["Authorization"], fake.headers[0]["X-Key"]) == ("Bearer s3cret-token", "k3y")
    address = fake.address.removeprefix("open-inference:")
    place = address.split("/")[2]
    fake.fault = status(401, f"Bearer s3cret-token / k3y refused by {address} at {place}")
    with pytest.raises(PredictorFailed) as error:
        there.run(X)
    assert "refused by" in error.value.detail
    assert not [secret for secret in ("s3cret", "k3y", "127.0.0.1", place) if secret in error.value.detail]
    assert "s3cret" not in json.dumps(dict(there.seen)) + there.card.model_dump_json()
    assert "127.0.0.1" not in json.dumps(dict(there.seen)) + there.card.model_dump_json()


def test_a_busy_server_is_asked_again_when_it_says(fake: Fake) -> None:
    waits: list[float | None] = []

    class Told(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout)
            return False

    def busy(number: int, reply: Reply) -> None:
        if number < 3:
            status([429, 503, 502][number], **({"Retry_After": "7"} if number == 0 else {}))(number, reply)

    fake.fault = busy
    address = fake.address.removeprefix("open-inference:")
    connection = Connection("toy", address, {}, timeout=5, retries=3, requests=1)
    body = json.dumps({"inputs": [{"name": "x", "shape": [1, 5], "datatype": "FP32", "data": [0] * 5}]}).encode()
    assert connection.post(f"{address}/infer", body, {}, Told()).json()["model_version"] == "1"
    assert waits[0] == 7
    assert len(waits) == 3
    assert all(wait is not None and 0 < wait <= 5 for wait in waits[1:])


def test_a_version_that_changes_fails_the_work_and_what_follows(fake: Fake, tmp_path: Path) -> None:
    there = loaded(tmp_path, fake)
    fake.version = "2"
    with pytest.raises(PredictorChanged, match="version 2 now, and was loaded as 1"):
        there.run(X)
    fake.version = "1"
    with pytest.raises(PredictorChanged, match="another model"):
        there.run(X)


def test_another_model_under_the_same_version_is_noticed(fake: Fake, tmp_path: Path) -> None:
    there = loaded(tmp_path, fake)
    there.check()
    fake.compute = lambda rows: 2 * compute(rows)
    with pytest.raises(PredictorChanged, match="says that it is the same version"):
        there.check()


def test_work_that_is_wanted_no_more_does_not_wait_for_a_slow_server(fake: Fake, tmp_path: Path) -> None:
    there, never = loaded(tmp_path, fake), threading.Event()
    fake.fault = lambda *_: hang(never)

    def withdrawn() -> None:
        raise Cancelled("withdrawn")

    with looking(withdrawn), pytest.raises(Cancelled, match="withdrawn"):
        there.run(X)
    never.set()


def test_a_server_that_is_slow_or_away(fake: Fake, tmp_path: Path) -> None:
    there, never = loaded(tmp_path, fake, timeout=0.3), threading.Event()
    fake.fault = lambda *_: hang(never)
    with pytest.raises(PredictorUnavailable, match=r"took longer than 0.3 s"):
        there.run(X)
    never.set()
    with pytest.raises(PredictorAway, match="cannot be reached"):
        read_folder(folder(tmp_path / "gone", "open-inference:http://127.0.0.1:9/v2/models/m"))
