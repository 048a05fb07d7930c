"""One question over HTTP: the answer, its arrays, and its picture, which must be one."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from whence import Client

Array = NDArray[Any]
URL = "/api/v1/explanations"
PATIENCE_S = 60


@dataclass(frozen=True)
class Answer:
    """The document of a finished explanation, and its arrays by name."""

    told: dict[str, Any]
    arrays: dict[str, Array]

    @property
    def info(self) -> dict[str, Any]:
        found: dict[str, Any] = self.told["info"]
        return found

    @property
    def map(self) -> Array:
        return self.arrays["attribution"]


def tensor(x: Any) -> dict[str, Any]:
    """An input in the model's own numbers."""
    values = np.asarray(x, np.float32)
    return {"tensor": {"shape": list(values.shape), "data": values.ravel().tolist()}}


def sent(client: Client, **arrays: Any) -> str:
    """The digest of a dataset of these arrays."""
    out = io.BytesIO()
    np.savez(out, **arrays)
    found: str = client.http.post("/api/v1/datasets", content=out.getvalue()).raise_for_status().json()["digest"]
    return found


def answered(client: Client, model: str, method: Any, target: Any = None, drawn: bool = True, **given: Any) -> Answer:
    """What comes of it, `drawn` where it has a picture; `given` is `input` or `inputs`, or nothing."""
    body = {"model": model, "method": method, **given, **({} if target is None else {"target": target})}
    told = _posted(client, body, "application/json").json()
    assert told["method"]["name"] == (method if isinstance(method, str) else method["name"])
    assert all(np.isfinite(check["gap"]) for check in told["checks"])
    assert drawn == any(name in told["links"] for name in ("heatmap", "png"))
    if drawn:
        assert min(Image.open(io.BytesIO(_posted(client, body, "image/png").content)).size) > 50
    arrays = {
        name: np.load(io.BytesIO(client.fetch(one["npy"], "application/x-npy"))) for name, one in told["arrays"].items()
    }
    return Answer(told, arrays)


def _posted(client: Client, body: dict[str, Any], accept: str) -> Any:
    headers = {"accept": accept, "prefer": f"wait={PATIENCE_S}"}
    answer = client.http.post(URL, json=body, headers=headers, timeout=PATIENCE_S + 30)
    assert answer.status_code == 200, answer.text
    return answer
