"""The list of explanations, newest first, on a real Redis."""

from __future__ import annotations

import pytest
from redis import Redis

from service.queue import listing
from service.queue.queue import Queue
from service.queue.status import Status
from service.queue.submission import Order
from tests.orders import claimed, order
from workers.contract import InvalidParameter
from workers.explanation.errors import InternalError
from workers.jobs import keys
from workers.jobs.records import Store
from workers.jobs.stored_results import Finished, Results


async def paged(queue: Queue, limit: int) -> list[list[str]]:
    pages, cursor = [], None
    while True:
        page = await queue.listing(None, None, limit, cursor)
        pages.append([status.id for status in page.statuses])
        cursor = page.cursor
        if cursor is None:
            return pages


def ids(orders: list[Order]) -> list[str]:
    return [each.job.id for each in orders]


async def test_pages_hold_every_explanation_once_the_newest_first(queue: Queue) -> None:
    assert (await queue.listing(None, None, 10, None)).statuses == []
    orders = [order(index) for index in range(7)]
    for each in orders:
        await queue.submit([each])
    pages = await paged(queue, 3)
    assert [len(page) for page in pages] == [3, 3, 1]
    assert [job_id for page in pages for job_id in page] == ids(orders)[::-1]
    assert len(await paged(queue, 7)) == 1


@pytest.mark.parametrize("look", [2, 5])
async def test_explanations_of_one_request_are_told_apart(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, look: int
) -> None:
    monkeypatch.setattr(listing, "LOOK", look)
    await queue.submit([order(index) for index in range(11)])
    await queue.submit([order(index, "lrp") for index in range(11)])
    found = [job_id for page in await paged(queue, 4) for job_id in page]
    assert len(found) == len(set(found)) == 22
    assert set(found[:11]) == {order(index, "lrp").job.id for index in range(11)}


async def test_a_page_goes_on_where_the_last_ended_whatever_came_since(queue: Queue) -> None:
    orders = [order(index) for index in range(4)]
    for each in orders:
        await queue.submit([each])
    first = await queue.listing(None, None, 2, None)
    await queue.submit([order(9)])
    second = await queue.listing(None, None, 2, first.cursor)
    assert [status.id for status in [*first.statuses, *second.statuses]] == ids(orders)[::-1]


async def test_a_list_may_be_of_one_state_or_one_model(queue: Queue, store: Store, results: Results) -> None:
    orders = [order(index) for index in range(3)]
    for each in orders:
        await queue.submit([each])
    claimed(store)
    results.save(orders[0].job.id, Finished({}, {}))
    store.finish(orders[0].job.id, "w")
    store.finish(orders[1].job.id, "w", InternalError("no"))
    await queue.submit([order(5)])

    async def of(status: str | None, model: str | None = None) -> list[str]:
        found: list[Status] = list((await queue.listing(status, model, 10, None)).statuses)  # type: ignore[arg-type]
        return [one.id for one in found]

    assert await of("succeeded") == [orders[0].job.id]
    assert await of("failed") == [orders[1].job.id]
    assert await of("running") == [orders[2].job.id]
    assert await of("queued") == [order(5).job.id]
    assert await of("queued", "another") == []
    assert len(await of(None, "toy")) == 4


async def test_a_page_that_looks_too_far_ends_early_and_goes_on(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "LOOK", 2)
    monkeypatch.setattr(listing, "FURTHEST", 4)
    for index in range(9):
        await queue.submit([order(index)])
    page = await queue.listing("failed", None, 10, None)
    assert page.statuses == []
    assert page.cursor is not None
    assert len((await queue.listing(None, None, 10, page.cursor)).statuses) == 4


async def test_a_record_goes_with_its_place_in_the_list_unless_it_is_unfinished(
    queue: Queue, store: Store, jobs: Redis
) -> None:
    """Or the records of a busy fortnight would fill Redis, and nothing new would be taken in."""
    done, waits, new = order(0), order(1), order(2)
    await queue.submit([done])
    claimed(store)
    store.finish(done.job.id, "w", InternalError("no"))
    await queue.submit([waits])
    now = store.now()
    jobs.zadd(keys.INDEX, {f"{number:064x}": now for number in range(100_000)})
    await queue.submit([new])
    assert [await queue.status(each.job.id) is None for each in (done, waits, new)] == [True, False, False]
    assert jobs.zcard(keys.INDEX) == 100_001
    await queue.submit([order(3)])
    assert jobs.zcard(keys.INDEX) == 100_000


@pytest.mark.parametrize("cursor", ["", "x", "####", "MTIz", "YSBi", "w6k="])
async def test_a_cursor_that_is_none_is_refused(queue: Queue, cursor: str) -> None:
    with pytest.raises(InvalidParameter):
        await queue.listing(None, None, 10, cursor)
