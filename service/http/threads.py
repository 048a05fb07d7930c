"""Work on many bytes, in a thread: done at once it would hold up every other request."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from anyio import to_thread

LARGE = 2**14  # bytes that are parsed, hashed and checked in about a millisecond

T = TypeVar("T")


async def in_thread(work: Callable[[], T], size: int | None = None) -> T:
    """What `work` returns; done at once where it has so few bytes to read that a thread would cost more."""
    return work() if size is not None and size < LARGE else await to_thread.run_sync(work)
