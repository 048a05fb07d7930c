"""What is refused because it is too much: over HTTP, with when to come back or what would be less."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import httpx
import pytest

from service.explanations.orders import make_orders
from service.explanations.request_schema import ExplanationRequest
from service.explanations.requests import CheckedRequest, Terms, checked_request
from service.http.bodies import Body
from service.http.errors import QueueFull, QuotaExceeded, TooCostly
from service.queue.admission import estimate
from service.queue.served import Served
from service.queue.submission import Order, Ticket
from service.settings import Settings
from tests.service.fake_repository import DIGITS, TABLE
from tests.service.fakes import FakeQueue
from workers.contract import PASS_S, Extent, InputSpec, ModelCard, cheaper, parse_method


def served(cards: dict[str, ModelCard]) -> Served:
    return Served(cards, workers=1)


URL = "/api/v1/explanations"
TERMS = Terms(None, False, "r")
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
    method = {"name": "smooth_grad", "samples": samples, "of": {"name": "integrated_gradients", "steps": 48}}
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
        ("lime", ["smaller samples"]),
        ({"name": "smooth_grad", "of": "lrp"}, ["smaller samples"]),
        ({"name": "smooth_grad", "of": "integrated_gradients"}, ["smaller of.steps", "smaller samples"]),
        ({"name": "occlusion", "patch": 2, "stride": 1}, ["larger patch", "larger stride"]),
    ],
)
def test_what_makes_a_method_cheaper_is_found_in_what_it_says_of_itself(method: object, names: list[str]) -> None:
    assert sorted(cheaper(parse_method(method), Extent())) == names


@pytest.mark.parametrize(("method", "told"), [
    ({"name": "occlusion", "patch": 1, "stride": 1}, "occlusion would take 50176 passes of 150528 values"),
    (
        {"name": "prediction_difference", "window": 4, "stride": 1, "samples": 5, "dataset": "training"},
        "prediction_difference would take 244205 passes of 150528 values",
    ),
])  # fmt: skip
def test_windows_are_counted_from_the_shape_of_the_input(method: dict[str, object], told: str) -> None:
    card = TABLE.model_copy(update={"input": InputSpec(kind="tensor", shape=(3, 224, 224))})
    body = Body({"model": "table", "method": method, "input": None})
    with pytest.raises(TooCostly, match=told) as refused:
        checked_request(body, TERMS, served({"table": card}), Settings(cost_limit=1e9))
    assert "a larger" in refused.value.detail


def test_targets_and_methods_cost_what_all_of_them_take() -> None:
    """100 targets x 50 methods, held ones and windows among them: what admission and quota add up."""
    windows = {"name": "occlusion", "patch": 4, "stride": 4}
    held = [
        {"name": "smooth_grad", "samples": 2 + i, "of": {"name": "integrated_gradients", "steps": 5}} for i in range(48)
    ]
    of_both = {"name": "consensus", "of": ["gradient", windows]}
    data = {"shape": [1, 8, 8], "data": [0.5] * 64}
    fields = {"model": "digits", "method": [windows, of_both, *held], "input": {"tensor": data}}
    targets = [{"layer": "conv", "index": [i % 4, i // 32, i // 4 % 8]} for i in range(100)]
    checked = checked_request(Body({**fields, "target": targets}), TERMS, served({"digits": DIGITS}), Settings())
    found = make_orders(checked, checked.input, 5000)
    assert len({order.job.id for order in found}) == 5000
    passes = 100 * (4 + 5 + sum((2 + i) * 7 for i in range(48)))
    assert sum(order.passes for order in found) == passes
    assert sum(estimate(order.job, order.passes, {}) for order in found) == pytest.approx(passes * PASS_S)


def test_what_is_asked_of_a_dataset_costs_its_items() -> None:
    """The check of one explanation is of one item; what admission, quotas and turns are told is of all of them."""
    for method, passes in (("activation_rates", 700), ({"name": "spray", "of": "gradient", "items": 300}, 300)):
        checked = CheckedRequest(
            TERMS, ExplanationRequest(model="table"), TABLE, (parse_method(method),), None, Extent(TABLE)
        )
        with_counts = replace(checked, extent=Extent(TABLE, {"training": 700}))
        assert [order.passes for order in make_orders(with_counts, None, 9)] == [passes]
        cost = [estimate(order.job, order.passes, {}) for order in make_orders(with_counts, None, 9)]
        assert cost == [pytest.approx(passes * PASS_S)]
