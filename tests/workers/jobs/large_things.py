"""What the tests of large_things and input_budget share."""

from __future__ import annotations

from service.queue.queue import Queue
from service.queue.submission import Order
from tests.orders import a_row
from workers.explanation.tensors import encode_npy

SMALL = len(encode_npy(a_row().arrays["attribution"]))  # of an array in these tests, as of every input


def data_of(asked: Order) -> bytes:
    assert asked.input is not None
    assert asked.input.data is not None
    return asked.input.data


async def stored(queue: Queue, orders: list[Order]) -> list[bool]:
    return [await queue.find_input(asked.job.input or "") is not None for asked in orders]
