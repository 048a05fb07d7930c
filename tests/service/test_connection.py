"""How answers go out: the head with its body where both are there, and at once where the body is still to come."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from service.connection import JOINED, Joined


class Kernel:
    """What was given to the transport, call by call."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def write(self, data: bytes) -> None:
        self.calls.append(data)

    def close(self) -> None:
        self.calls.append("closed")

    def is_closing(self) -> bool:
        return "closed" in self.calls


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture
def transport(kernel: Kernel) -> Joined:
    return Joined(kernel)  # type: ignore[arg-type]


async def test_an_answer_is_one_call(transport: Joined, kernel: Kernel) -> None:
    for part in (b"head", b"body", b""):
        transport.write(part)
    assert kernel.calls == [b"headbody"]
    await asyncio.sleep(0)
    assert kernel.calls == [b"headbody"]


async def test_the_head_of_a_stream_does_not_wait_for_what_may_never_come(transport: Joined, kernel: Kernel) -> None:
    transport.write(b"head")
    assert kernel.calls == []
    await asyncio.sleep(0)
    assert kernel.calls == [b"head"]
    transport.write(b"event")
    await asyncio.sleep(0)
    assert kernel.calls == [b"head", b"event"]


async def test_a_large_body_is_not_copied(transport: Joined, kernel: Kernel) -> None:
    body = bytes(JOINED + 1)
    transport.write(b"head")
    transport.write(body)
    assert kernel.calls[0] == b"head"
    assert kernel.calls[1] is body
    transport.write(b"")
    await asyncio.sleep(0)
    assert b"".join(kernel.calls) == b"head" + body


async def test_what_was_said_before_the_end_is_sent_before_it(transport: Joined, kernel: Kernel) -> None:
    transport.write(b"HTTP/1.1 400")
    transport.close()
    assert kernel.calls == [b"HTTP/1.1 400", "closed"]
    assert transport.is_closing()
    await asyncio.sleep(0)
    assert kernel.calls == [b"HTTP/1.1 400", "closed"]
