"""What is refused because it is too much: over HTTP, with when to come back or what would be less."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import httpx
import pytest

from service.errors import QueueFull, QuotaExceeded
from service.orders import Order, Ticket
from service.settings import Settings
from tests.service.fakes import TABLE, FakeQueue
from workers.contract import cheaper, parse_method

URL = "/api/v1/explanations"
TENSOR = {"tensor": {"shape": [4], "dtype": "float32", "data": [1, 2, 3, 4]}}


@pytest.fixture
def settings() -> Settings:
    return Settings(cost_limit=1000 * TABLE.input.shape[0], log_level="CRITICAL")


def asked(method: object) -> dict[str, object]:
    return {"model": "table", "method": method, "input": TENSOR}


@pytest.mark.parametrize(("error", "status"), [(QueueFull, 503), (QuotaExceeded, 429)])
async def test_a_full_queue_says_when_to_come_back(
    client: httpx.AsyncClient,
    queue: FakeQueue,
    monkeypatch: pytest.MonkeyPatch,
    error: Callable[[str, int], QueueFull],
    status: int,
) -> None:
    async def full(_: Sequence[Order], **__: object) -> list[Ticket]:
        raise error("full", 17)

    monkeypatch.setattr(queue, "submit", full)
    answer = await client.post(URL, json=asked("gradient"))
    assert (answer.status_code, answer.headers["retry-after"]) == (status, "17")
    assert answer.json()["code"] in ("queue_full", "quota_exceeded")


@pytest.mark.parametrize(("samples", "status"), [(20, 200), (21, 422)])
async def test_what_costs_too_much_is_refused_with_what_would_make_it_less(
    client: httpx.AsyncClient, queue: FakeQueue, samples: int, status: int
) -> None:
    method = {"name": "smooth_grad", "samples": samples, "of": {"name": "integrated_gradients", "steps": 50}}
    answer = await client.post(URL, json=asked(method))
    assert answer.status_code == status
    assert len(queue.orders) == (status == 200)
    if status == 422:
        assert answer.json()["code"] == "too_costly"
        assert answer.json()["errors"] == [
            {
                "pointer": "/method",
                "detail": "smooth_grad would take 1050 passes of 4 values, and at most 1000 may be; "
                "a smaller of.steps or a smaller samples makes it less",
            }
        ]


@pytest.mark.parametrize(
    ("method", "names"),
    [
        ("gradient", []),
        ("lime", ["samples"]),
        ({"name": "smooth_grad", "of": "lrp"}, ["samples"]),
        ({"name": "smooth_grad", "of": "integrated_gradients"}, ["of.steps", "samples"]),
    ],
)
def test_what_makes_a_method_cheaper_is_found_in_what_it_says_of_itself(method: object, names: list[str]) -> None:
    assert sorted(cheaper(parse_method(method))) == names
