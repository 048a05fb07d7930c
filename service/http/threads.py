"""Work on many bytes, in a thread: done at once it would hold up every other request."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from anyio import to_thread

LARGE = 2**14  # bytes that are parsed, hashed and checked in about a millisecond

T = TypeVar("T")


async def apart(size: int, work: Callable[[], T]) -> T:
    """What `work` returns; in a thread where it has so many bytes to read."""
    return work() if size < LARGE else await to_thread.run_sync(work)
