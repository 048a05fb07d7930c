"""Real servers, installed from PyPI: what Whence says of their models is what it says of the same models in process."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import combinations
from math import factorial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tomli_w
import torch

from tests.resources import in_memory
from tests.toys import batch_of
from tests.workers.models.servers.running import ABSENT, InProcess, mlflow, mlserver, script
from workers.engine.model.function import Function
from workers.explanation.table import rows_of_csv
from workers.explanation.target import ClassTarget, Target, ValueTarget
from workers.methods.method import parse_method
from workers.models.folder import read_folder
from workers.models.loading import load

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(ABSENT is not None, reason=str(ABSENT)),
]
COLUMNS = [f"c{i}" for i in range(8)]
JOBS: dict[str, Any] = {
    "names": ["age", "hours", "job", "city"],
    "categories": {"job": ["clerk", "nurse", "smith"], "city": ["north", "south"]},
    "background": "background.csv",
}
OF = ["occlusion", "kernel_shap"]
METHODS: dict[str, dict[str, Any]] = {
    "predict": {}, "occlusion": {}, "kernel_shap": {"samples": 256}, "shapley_sampling": {"samples": 4},
    "lime": {"samples": 60}, "prediction_difference": {"score": "logit"}, "rise": {"masks": 30},
    "consensus": {"of": OF}, "smooth_grad": {"of": "occlusion", "samples": 3},
    "pixel_flipping": {"of": OF, "score": "logit", "steps": 6}, "sensitivity_n": {"of": OF, "subsets": 6},
    "compare": {"of": OF}, "continuity": {"of": ["occlusion"], "steps": 2}, "conservation": {"of": OF},
    "minimal_deletion": {"of": OF, "score": "logit"},
}  # fmt: skip
TABLES_LEAVE_OUT = {"rise", "smooth_grad", "continuity", "pixel_flipping", "minimal_deletion"}


class Served(NamedTuple):
    """A model on a server and in process, a row of it, and what of it is explained."""

    there: Function
    here: InProcess
    row: torch.Tensor
    target: Target


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("servers")
    script("train", within=path)
    return path


@pytest.fixture(scope="module")
def address(place: Path) -> Iterator[str]:
    with mlserver(place / "mlserver") as url:
        yield url


def card(place: Path, name: str, model: dict[str, Any], spec: dict[str, Any], remote: dict[str, Any]) -> Function:
    path = place / "cards" / name
    path.mkdir(parents=True, exist_ok=True)
    (path / "card.toml").write_text(tomli_w.dumps({"model": model, "input": spec, "remote": remote}))
    if "background" in spec:
        lines = (place / "jobs.csv").read_text().splitlines()[:21]
        if spec["names"] == COLUMNS:
            rows = np.load(place / "eight.npy")[:20].tolist()
            lines = [",".join(COLUMNS), *(",".join(str(np.float32(value)) for value in row) for row in rows)]
        (path / "background.csv").write_text("\n".join(lines))
    return load(read_folder(path))


@pytest.fixture(scope="module")
def models(place: Path, address: str) -> Iterator[dict[str, Served]]:
    with ExitStack() as stack:
        url = stack.enter_context(mlflow(place / "mlflow"))
        v2 = f"open-inference:{address}/v2/models"
        proba = {"output": "predict_proba"}
        digits, people = {"shape": [64], "low": 0.0, "high": 1.0}, JOBS | {"kind": "table"}
        eight = {"kind": "table", "names": COLUMNS, "background": "background.csv"}
        value, shares = {"output": "value"}, {"output": "probabilities"}
        far = {
            "xgboost, JSON": card(place, "eight", {"source": f"{v2}/eight", **value}, eight, {}),
            "sklearn, JSON": card(place, "digits", {"source": f"{v2}/digits", **shares}, digits, proba),
            "sklearn, columns": card(place, "jobs", {"source": f"{v2}/jobs", **shares}, people, proba),
            "mlflow, columns": card(
                place,
                "mlflow",
                {"source": f"mlflow:{url}/invocations", **shares},
                people,
                {"version": "1"},
            ),
        }
        columns = [f"{name}={','.join(JOBS['categories'].get(name, []))}" for name in JOBS["names"]]
        files: dict[str, tuple[str, str, list[str]]] = {
            "xgboost": ("eight.joblib", "predict", []),
            "sklearn, JSON": ("digits.joblib", "predict_proba", []),
        }
        found = {}
        for name, there in far.items():
            file, method, names = next(
                (files[key] for key in files if name.startswith(key)), ("jobs.joblib", "predict_proba", columns)
            )
            here = InProcess(there.card, place / file, method, names)
            stack.callback(here.close)
            here.background = there.background
            target: Target = ValueTarget() if there.card.output == "value" else ClassTarget(index=1)
            found[name] = Served(there, here, _row(place, there), target)
        yield found


def _row(place: Path, model: Function) -> torch.Tensor:
    spec = model.card.input
    if "age" in spec.names:
        return torch.from_numpy(rows_of_csv((place / "jobs.csv").read_text(), spec, "", 1000)[40:41])
    return torch.from_numpy(np.load(place / ("eight.npy" if spec.names else "digits.npy"))[40:41])


def test_every_method_gives_what_it_gives_of_the_same_model_in_process(models: dict[str, Served]) -> None:
    """The greatest difference, relative to the largest value: a table of methods by servers."""
    table = {}
    for name, served in models.items():
        for method, parameters in METHODS.items():
            if served.there.card.input.kind == "table" and method in TABLES_LEAVE_OUT:
                continue
            asked = parse_method({"name": method, **parameters}).suited(served.there.card.input)
            pair = [
                asked.explain(model, batch_of(served.row, served.target, seeds=[3], resources=in_memory(served.row)))
                for model in (served.there, served.here)
            ]
            far, near = (one.rows()[0].arrays for one in pair)
            assert far.keys() == near.keys()
            table[method, name] = max(
                float(np.abs(far[key] - near[key]).max() / max(1e-12, np.abs(near[key]).max())) for key in near
            )
    for method in METHODS:
        cells = [f"{table[method, name]:.1e}" if (method, name) in table else "-" for name in models]
        print(f"{method:24}", *(f"{cell:>18}" for cell in cells))
    assert max(table.values()) < 1e-5


def test_kernel_shap_is_exact_and_as_shap_has_it(models: dict[str, Served], place: Path, address: str) -> None:
    """Of eight columns all coalitions are asked; shap's own explainer beside it, in process and over HTTP."""
    served = models["xgboost, JSON"]
    background = served.there.background
    assert background is not None
    exact, ours, seconds = exact_shapley(served.here, served.row, background), [], 0.0
    method = parse_method("kernel_shap").suited(served.there.card.input)
    for row in (background[:1], served.row):  # the first finds out how many rows a request holds
        started = time.perf_counter()
        ours = method.explain(served.there, batch_of(row, served.target, seeds=[0])).rows()
        seconds = time.perf_counter() - started
    np.save(place / "row.npy", served.row)
    np.save(place / "background.npy", background)
    files = [place / "eight.joblib", place / "row.npy", place / "background.npy", f"{address}/v2/models/eight"]
    shap = json.loads(script("kernel_shap", *files, within=place).splitlines()[-1])
    values = ours[0].arrays["attribution"]
    print(f"seconds: Whence {seconds:.2f}, shap over HTTP {shap['seconds']:.2f} ({shap['requests']} requests)")
    np.testing.assert_allclose(values, exact, atol=1e-3 * np.abs(exact).max())
    np.testing.assert_allclose(values, np.ravel(shap["here"]), atol=1e-3 * np.abs(exact).max())
    np.testing.assert_allclose(values, np.ravel(shap["there"]), atol=1e-3 * np.abs(exact).max())
    assert ours[0].checks[0].gap < 1e-4


def exact_shapley(
    model: Function, row: torch.Tensor, background: torch.Tensor
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """By the definition: what each column adds, averaged over all orders, by coalitions (float64)."""

    players = row.shape[1]

    def worth(shown: tuple[int, ...]) -> float:
        rows = background.clone()
        rows[:, list(shown)] = row[0, list(shown)]
        return float(model.run(rows).double().mean())

    known = {one: worth(one) for size in range(players + 1) for one in combinations(range(players), size)}
    found = np.zeros(players)
    for player in range(players):
        for one, value in known.items():
            if player in one:
                without = tuple(other for other in one if other != player)
                share = factorial(len(without)) * factorial(players - len(without) - 1) / factorial(players)
                found[player] += share * (value - known[without])
    return found
