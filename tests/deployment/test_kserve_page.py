"""docs/kserve.md as a person walks it, with the two manifests, in processes: a predictor of the test's, and Whence."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from tests.deployment.kserve_explainer import Wait, answers, explainer
from tests.patience import PATIENCE_S
from tests.tree import ROOT
from tests.workers.models.servers.fake_predictor import Fake, Reply, served

pytestmark = pytest.mark.slow
PLACE = ROOT / "deploy" / "kserve"
MANIFEST = yaml.safe_load((PLACE / "inference-service.yaml").read_text())
NAME = MANIFEST["metadata"]["name"]
FILES = yaml.safe_load((PLACE / "card.yaml").read_text())["data"]
PAGE = (ROOT / "docs" / "kserve.md").read_text()
FAR = "/api/v1/models/income"


def probabilities(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    of_one = 1 / (1 + np.exp(-(rows @ [0.05, 0.02, 1e-4] - 3)))
    return np.stack([1 - of_one, of_one], 1)


def named(_: int, reply: Reply) -> None:
    """The output, as MLServer calls that of a classifier."""
    reply.body = reply.body.replace(b'"scores"', b'"predict_proba"')


@contextmanager
def beside(fake: Fake, place: Path, card: str = FILES["card.toml"], **env: str) -> Iterator[tuple[str, Wait]]:
    """Whence by the manifest's container, whose volume is a folder here."""
    (container,) = MANIFEST["spec"]["explainer"]["containers"]
    (place / "card").mkdir()
    for name, text in {**FILES, "card.toml": card}.items():
        (place / "card" / name).write_text(text)
    told = {one["name"]: one["value"] for one in container["env"]} | {"WHENCE_CARD": str(place / "card")}
    host = fake.address.split("//")[1].split("/")[0]
    with explainer(NAME, host, place / "explainer.log", container["args"], told | env) as found:
        yield found


def test_the_page_is_walked(tmp_path: Path) -> None:
    (body,) = re.findall(r"models/income:explain -d '(.*?)'", PAGE, re.S)
    asked = json.loads(body)
    away = lambda _, reply: setattr(reply, "status", 503)  # noqa: E731
    with served(Fake(probabilities, fault=away)) as fake, beside(fake, tmp_path) as (url, wait):
        wait("/healthz")
        assert httpx.get(f"{url}/readyz", timeout=PATIENCE_S).status_code == 503
        assert httpx.get(f"{url}/v1/models/income", timeout=PATIENCE_S).status_code in (404, 503)
        fake.fault = named
        wait("/readyz")
        assert httpx.get(f"{url}/v1/models/income", timeout=PATIENCE_S).json() == {"name": "income", "ready": True}
        answer = httpx.post(f"{url}/v1/models/income:explain", json=asked, timeout=2 * PATIENCE_S)
        assert answer.status_code == 200, answer.text
        rows = np.array([[39, 40, 2174], [25, 38, 0]])
        background = np.loadtxt(FILES["background.csv"].splitlines(), delimiter=",", skiprows=1)
        less = (probabilities(rows) - probabilities(background).mean(0))[:, 1]
        told = answer.json()
        np.testing.assert_allclose(told["predictions"], probabilities(rows), rtol=1e-5)
        np.testing.assert_allclose(
            [np.sum(one["attribution"]) for one in told["explanations"]], less, rtol=1e-3, atol=1e-5
        )
        assert all(one["method"]["name"] == "kernel_shap" for one in told["explanations"])
        tensor = {"name": "input", "shape": [2, 3], "datatype": "FP32", "data": rows.ravel().tolist()}
        for path in ("/v2/models/income/explain", "/v2/models/income:explain"):
            found = httpx.post(
                url + path, timeout=2 * PATIENCE_S, json={"inputs": [tensor], "parameters": {"whence.target": 1}}
            )
            assert found.status_code == 200, found.text
            array = np.reshape(found.json()["outputs"][0]["data"], (2, 3))
            np.testing.assert_array_equal(array, [one["attribution"] for one in told["explanations"]])
        refused = httpx.post(f"{url}/v1/models/income:explain", json={"inputs": [tensor]}, timeout=PATIENCE_S)
        assert "/v2/models/income/explain" in refused.json()["error"]


def test_what_takes_longer_is_found_where_it_will_be(tmp_path: Path) -> None:
    def slow(number: int, reply: Reply) -> None:
        time.sleep(2)
        named(number, reply)

    with served(Fake(probabilities, fault=named)) as fake, beside(fake, tmp_path, WHENCE_PROTOCOL_WAIT="1") as there:
        url, wait = there
        wait("/readyz")
        fake.fault = slow
        late = httpx.post(f"{url}/v1/models/income:explain", json={"instances": [[30, 41, 5]]}, timeout=PATIENCE_S)
        assert late.status_code == 503
        wait(late.headers["location"])
        assert _finished(url + late.headers["location"])["attribution"]["shape"] == [3]


def test_the_explainer_follows_a_predictor_that_tells_its_version(tmp_path: Path) -> None:
    unversioned = re.sub(r"(?m)^version = .*\n", "", FILES["card.toml"])
    assert unversioned != FILES["card.toml"]
    with served(Fake(probabilities, fault=named)) as fake, beside(fake, tmp_path, unversioned) as (url, wait):
        wait("/readyz")
        first = httpx.get(url + FAR, timeout=PATIENCE_S).json()["digest"]
        fake.version = "2"
        until = time.monotonic() + PATIENCE_S
        while not answers(url + FAR) or httpx.get(url + FAR, timeout=PATIENCE_S).json()["digest"] == first:
            httpx.post(
                f"{url}/v1/models/income:predict", json={"instances": [[30, 41, time.monotonic()]]}, timeout=PATIENCE_S
            )
            assert time.monotonic() < until
            time.sleep(0.3)
        again = httpx.post(f"{url}/v1/models/income:explain", json={"instances": [[30, 41, 5]]}, timeout=PATIENCE_S)
        assert again.status_code == 200, again.text


def _finished(url: str) -> dict[str, Any]:
    until = time.monotonic() + PATIENCE_S
    while (found := httpx.get(url, params={"wait": 10}, timeout=PATIENCE_S).json())["status"] != "succeeded":
        assert time.monotonic() < until, found
    return dict(found)
