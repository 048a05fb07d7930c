"""The explainer's command, called as KServe calls its container, beside MLServer as the predictor."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.cli.local.redis_binary import free_port
from tests.deployment.kserve_explainer import explainer
from tests.patience import PATIENCE_S
from tests.workers.models.servers.running import ABSENT, mlserver, script

pytestmark = [pytest.mark.slow, pytest.mark.skipif(ABSENT is not None, reason=str(ABSENT))]
COLUMNS = [f"c{i}" for i in range(8)]
CARD = f"""
[model]
output = "value"

[input]
kind = "table"
names = {json.dumps(COLUMNS)}
background = "background.csv"
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("kserve")
    script("train", within=path)
    (path / "card").mkdir()
    (path / "card" / "card.toml").write_text(CARD)
    rows = np.load(path / "eight.npy")[:10]
    lines = [",".join(COLUMNS), *(",".join(str(value) for value in row) for row in rows)]
    (path / "card" / "background.csv").write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def urls(place: Path) -> Iterator[tuple[str, str]]:
    """Of the explainer, which starts before its predictor, and of the predictor."""
    predictor = free_port()
    given = ["--card", str(place / "card")]
    whence = explainer("eight", f"127.0.0.1:{predictor}", place / "explainer.log", given)
    with whence as (url, wait), mlserver(place / "mlserver", predictor) as far:
        wait("/v1/models/eight")
        yield url, f"{far}/v2/models/eight"


def asked(url: str, rows: Any) -> list[float]:
    """What the predictor itself says."""
    rows = np.asarray(rows, np.float32)
    tensor = {"name": "predict", "shape": list(rows.shape), "datatype": "FP32", "data": rows.ravel().tolist()}
    answer = httpx.post(f"{url}/infer", json={"inputs": [tensor]}, timeout=PATIENCE_S).json()
    found: list[float] = answer["outputs"][0]["data"]
    return found


def test_explain_answers_for_the_model_that_kserve_names(urls: tuple[str, str], place: Path) -> None:
    url, far = urls
    rows = np.load(place / "eight.npy")
    named = {name: float(value) for name, value in zip(COLUMNS, rows[40], strict=True)}
    body = {"instances": [rows[40].tolist(), named, rows[41].tolist()]}
    answer = httpx.post(f"{url}/v1/models/eight:explain", json=body, timeout=2 * PATIENCE_S)
    assert answer.status_code == 200, answer.text
    told, mean = answer.json(), float(np.mean(asked(far, rows[:10])))
    scores = asked(far, rows[40:42])
    np.testing.assert_allclose(np.ravel(told["predictions"]), [scores[0], *scores], rtol=1e-5)
    sums = [np.sum(one["attribution"]) for one in told["explanations"]]
    np.testing.assert_allclose(sums, [scores[0] - mean, scores[0] - mean, scores[1] - mean], rtol=1e-3, atol=1e-3)
    assert told["explanations"][0]["method"]["fill"] == "background"


def test_a_row_of_csv_is_explained_and_its_receipt_tells_of_the_server(urls: tuple[str, str], place: Path) -> None:
    url, far = urls
    row = np.load(place / "eight.npy")[50]
    text = ",".join(COLUMNS) + "\n" + ",".join(str(value) for value in row)
    found = httpx.post(
        f"{url}/api/v1/explanations?model=eight&method=occlusion",
        content=text, headers={"Content-Type": "text/csv", "Prefer": "wait=60"}, timeout=2 * PATIENCE_S,
    )  # fmt: skip
    assert found.status_code == 200, found.text
    document = found.json()
    assert document["explained"]["score"] == pytest.approx(asked(far, [row])[0], rel=1e-5)
    receipt = httpx.get(f"{url}/api/v1/explanations/{document['id']}/receipt", timeout=PATIENCE_S).json()
    remote = receipt["machine"]["remote"]
    assert (remote["protocol"], remote["version"]) == ("open-inference", "v7")
    assert "127.0.0.1" not in json.dumps(receipt) + found.text
    card = httpx.get(f"{url}/api/v1/models/eight", timeout=PATIENCE_S).text
    assert "127.0.0.1" not in card
    refused = httpx.post(
        f"{url}/api/v1/explanations?model=eight&method=gradient",
        content=text, headers={"Content-Type": "text/csv", "Prefer": "wait=60"}, timeout=2 * PATIENCE_S,
    )  # fmt: skip
    assert refused.status_code == 422
    assert "is computed on another server" in refused.json()["detail"]
    assert refused.json()["alternatives"]
