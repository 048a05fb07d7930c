"""Requests that cost a client little and would cost the server much: refused by what is counted before it is made."""

from __future__ import annotations

import threading
from base64 import urlsafe_b64encode

import httpx
import numpy as np
import pytest

from service.explanations import given_inputs, orders, requests
from service.http import negotiation
from service.http.errors import LONGEST_POINTER, MOST_ERRORS
from service.http.json_text import DEEPEST, MOST_VALUES
from service.queue.listing import _place
from service.settings import Settings
from tests.service.explanations.counting import TENSOR, URL, Counted, asked
from tests.service.fakes import FakeQueue
from workers.contract import Extent, InvalidParameter
from workers.explanation import request_target
from workers.jobs import job
from workers.methods import method
from workers.methods.fields.composites import MOST_ENTRIES


@pytest.fixture
def settings() -> Settings:
    return Settings(log_level="CRITICAL")


def tree(deep: int) -> object:
    """Methods held in each other, 20 in each."""
    return {"name": "consensus", "of": [tree(deep - 1)] * 20} if deep else "gradient"


def in_each_other(deep: int) -> dict[str, object]:
    return {"name": "smooth_grad", "of": in_each_other(deep - 1)} if deep else {"name": "gradient"}


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ([{"name": "smooth_grad", "samples": 2, "seed": i} for i in range(20_000)], "holds 20000"),
        ([tree(3)] * 2, f"at most {MOST_VALUES} values"),
        ({"name": "gradient", "of": [[]] * 20_000}, f"at most {MOST_VALUES} values"),
        (in_each_other(DEEPEST + 1), f"at most {DEEPEST} deep"),
        ({"name": "gradient", "x" * 2000: 1}, "a name has at most"),
        ({"name": "lrp", "to": "x" * (2**20 + 1)}, "a text has at most"),
    ],
)
async def test_methods_are_counted_before_one_is_made(
    client: httpx.AsyncClient, counted: Counted, value: object, why: str
) -> None:
    made = counted(requests, "parse_method")
    answer = await client.post(URL, json=asked(method=value))
    assert (answer.status_code, len(made)) == (422, 0)
    assert why in answer.json()["detail"]


@pytest.mark.parametrize("inside", [False, True])
async def test_methods_are_counted_before_one_of_their_own_inputs_is_read(
    client: httpx.AsyncClient, counted: Counted, inside: bool
) -> None:
    read = counted(given_inputs, "read_input")
    many = [{"name": "integrated_gradients", "baseline": TENSOR}] * 5000
    answer = await client.post(URL, json=asked(method={"name": "consensus", "of": many} if inside else many))
    assert (answer.status_code, len(read)) == (422, 0)
    assert (f"at most {MOST_VALUES} values" if inside else "holds 5000") in answer.json()["detail"]


async def test_methods_held_in_each_other_are_counted_whole(client: httpx.AsyncClient) -> None:
    """20 in a list are allowed, and so are 6 in each other: together they are 120."""
    method = {"name": "consensus", "of": [in_each_other(5) | {"seed": i} for i in range(20)]}
    answer = await client.post(URL, json=asked(method=method))
    assert answer.status_code == 422
    assert "at most 100 others" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ([[{"top_k": 10}] * 100] * 8, "holds targets, not lists"),
        ([[[[0]]]], "holds targets, not lists"),
        ([0] * 101, "this one holds 101"),
        ([{"top_k": 100}] * 100, "each of its top_k counted, 10000"),
        ({str(i): 0 for i in range(10_000)}, "10000 keys"),
        ("7" * 5000, "no class"),
        ({"class": "7" * 5000}, "no class"),
        ({"layer": "fc", "index": [0] * 10_000}, "no such layer"),
    ],
)
async def test_targets_are_counted_before_one_is_made(
    client: httpx.AsyncClient, counted: Counted, value: object, why: str
) -> None:
    made = counted(request_target, "RankTarget")
    answer = await client.post(URL, json=asked(target=value))
    assert (answer.status_code, answer.json()["code"], len(made)) == (422, "invalid_target", 0)
    assert why in answer.json()["detail"]


async def test_explanations_are_counted_before_one_is_made(client: httpx.AsyncClient, counted: Counted) -> None:
    made = counted(orders, "Job")
    many = [{"name": "smooth_grad", "seed": i} for i in range(51)]
    answer = await client.post(URL, json=asked(method=many, target=[0, 1]))
    assert (answer.status_code, len(made)) == (422, 0)
    assert "at most 100 explanations" in answer.json()["detail"]


async def test_a_table_has_at_most_as_many_entries_as_a_net_has_layers(client: httpx.AsyncClient) -> None:
    table = [*[{"layers": "conv9*", "rule": "flat"}] * MOST_ENTRIES, {"rule": "epsilon"}]
    for entries, status in ((table, 422), (table[1:], 200)):
        answer = await client.post(URL, json=asked(method={"name": "lrp", "composite": entries}))
        assert answer.status_code == status, answer.text
    assert "/method/composite" in (await client.post(URL, json=asked(method={"name": "lrp", "composite": table}))).text


async def test_a_job_is_hashed_once_however_often_its_id_is_read(client: httpx.AsyncClient, counted: Counted) -> None:
    """Off the loop, for a table of many entries and many targets."""
    hashed = counted(job, "canonical_json")
    table = [*[{"layers": f"c{i}", "rule": "flat"} for i in range(MOST_ENTRIES - 1)], {"rule": "epsilon"}]
    answer = await client.post(URL, json=asked(method={"name": "lrp", "composite": table}, target=[0, 1]))
    assert answer.status_code == 200, answer.text
    assert len(hashed) == 4  # an id and a group each
    assert not set(hashed) & {threading.main_thread().name}


async def test_headers_of_thousands_of_entries_are_read_as_far_as_anyone_means_them(
    client: httpx.AsyncClient, counted: Counted
) -> None:
    weighed = counted(negotiation, "_weighed")
    answer = await client.post(URL, json=asked(), headers={"accept": "a/b," * 3000 + "*/*", "prefer": "a," * 1500})
    assert answer.status_code == 406
    assert len(weighed) <= negotiation.MOST_RANGES


async def test_what_is_wrong_is_told_in_few_words_however_much_is(client: httpx.AsyncClient) -> None:
    table = {"layers": 1, "rule": "flat"}
    bodies: list[dict[str, object]] = [
        asked(method={"name": "lrp", "composite": [table] * 150}),
        asked(method={"name": "gradient", **{"x" * 900 + str(i): 1 for i in range(90)}}),
        asked(**{"x" * 5000: 1}),
        asked(**{"x" * 999: 1}),
        asked(**{str(i): 1 for i in range(5000)}),
        asked(webhook={"url": "https://example.org/" + "x" * 5000}),
        asked(input={**TENSOR, **{str(i): 1 for i in range(5000)}}),
    ]
    for body in bodies:
        answer = await client.post(URL, json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
        errors = answer.json()["errors"]
        assert 0 < len(errors) <= MOST_ERRORS
        assert all(len(one["pointer"]) <= LONGEST_POINTER and len(one["detail"]) < 300 for one in errors)


async def test_what_is_asked_for_is_charged_for_each_method_and_target(
    queue: FakeQueue, client: httpx.AsyncClient
) -> None:
    methods = [
        {"name": "smooth_grad", "samples": 2 + i, "of": {"name": "integrated_gradients", "steps": 5}} for i in range(50)
    ]
    answer = await client.post(URL, json=asked(method=methods, target=[0, 1]))
    assert answer.status_code == 200, answer.text
    each = [method.parse_method(one).passes(Extent(queue.served["table"])) for one in methods]
    assert sum(order.passes for order in queue.orders) == 2 * sum(each) == 2 * sum((2 + i) * 7 for i in range(50))


def test_a_cursor_that_is_no_number_is_none() -> None:
    for place in ("nan x", "inf x", "1e999 x", "x x", "1"):
        with pytest.raises(InvalidParameter):
            _place(urlsafe_b64encode(place.encode()).decode())
    assert np.isfinite(_place(urlsafe_b64encode(b"1.5 x").decode())[0])
