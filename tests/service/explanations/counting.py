"""What the tests beside share."""

from __future__ import annotations

from collections.abc import Callable

URL = "/api/v1/explanations"
TENSOR = {"tensor": {"shape": [4], "dtype": "float32", "data": [1, 2, 3, 4]}}
Counted = Callable[..., list[str]]


def asked(**fields: object) -> dict[str, object]:
    return {"model": "table", "method": "gradient", "input": TENSOR, **fields}
