"""A service that asks for bfloat16: in ids, answers, receipts, cards and the catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from service.app import create_app
from service.settings import Settings
from tests.patience import PATIENCE_S
from tests.service.live import serving
from tests.service.working import WorkingQueue
from tests.toys import model_of, net
from workers.explanation.card import Precision

URL = "/api/v1/explanations"
INPUT = {"tensor": {"shape": [1, 8, 8], "data": np.random.default_rng(0).random(64).tolist()}}


@pytest.fixture(scope="module")
def urls() -> Iterator[dict[Precision, str]]:
    model = model_of(net(), (1, 8, 8))
    queues = {one: WorkingQueue({"toy": model}) for one in ("float32", "bfloat16")}
    queues["bfloat16"].precision = "bfloat16"
    apps = {one: create_app(Settings(log_level="CRITICAL", precision=one), queue) for one, queue in queues.items()}
    with serving(apps["float32"]) as plain, serving(apps["bfloat16"]) as short:
        yield {"float32": plain, "bfloat16": short}


def explained(url: str, method: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The answer and its receipt."""
    asked = {"model": "toy", "method": method, "target": 1, "input": INPUT}
    told = httpx.post(url + URL, json=asked, timeout=PATIENCE_S)
    assert told.status_code == 200, told.text
    return told.json(), httpx.get(f"{url}{URL}/{told.json()['id']}/receipt", timeout=PATIENCE_S).json()


@pytest.mark.parametrize("method", ["gradient", "lrp", {"name": "kernel_shap", "samples": 200}])
def test_what_bears_it_is_computed_in_it(urls: dict[Precision, str], method: Any) -> None:
    (plain, whole), (short, rounded) = (explained(url, method) for url in urls.values())
    assert plain["id"] != short["id"]
    assert ("precision" in whole["job"], rounded["job"]["precision"]) == (False, "bfloat16")
    assert [one["machine"]["precision"] for one in (whole, rounded)] == ["float32", "bfloat16"]
    assert whole["sha256"]["attribution"] != rounded["sha256"]["attribution"]
    for key in ("max", "min"):
        assert short["attribution"][key] == pytest.approx(plain["attribution"][key], rel=0.05)


@pytest.mark.parametrize(
    "method", ["switched_projection", {"name": "difference", "of": "gradient", "less": "switched_projection"}]
)
def test_what_does_not_is_the_float32_of_the_same_id(urls: dict[Precision, str], method: Any) -> None:
    (plain, whole), (short, other) = (explained(url, method) for url in urls.values())
    assert plain["id"] == short["id"]
    assert other["machine"]["precision"] == "float32"
    assert whole["sha256"] == other["sha256"]


def test_one_request_may_have_both(urls: dict[Precision, str]) -> None:
    asked = {"model": "toy", "method": ["switched_projection", "gradient"], "target": 1, "input": INPUT}
    told = httpx.post(urls["bfloat16"] + URL, json=asked, timeout=PATIENCE_S).json()
    found = {}
    for one in told["explanations"]:
        receipt = httpx.get(f"{urls['bfloat16']}{URL}/{one['id']}/receipt", timeout=PATIENCE_S).json()
        found[receipt["job"]["method"]["name"]] = receipt["machine"]["precision"]
    assert found == {"switched_projection": "float32", "gradient": "bfloat16"}


def test_cards_and_the_catalogue_tell(urls: dict[Precision, str]) -> None:
    for precision, url in urls.items():
        assert httpx.get(f"{url}/api/v1/models/toy", timeout=PATIENCE_S).json()["precision"] == precision
    told = {
        one["name"]: one["precisions"]
        for one in httpx.get(f"{url}/api/v1/methods", timeout=PATIENCE_S).json()["methods"]
    }
    assert told["gradient"] == ["float32", "tf32", "bfloat16"]
    assert told["switched_projection"] == ["float32"]
