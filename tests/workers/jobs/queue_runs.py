"""What the tests of queue and queue_away share."""

from __future__ import annotations

import asyncio
from typing import Any

from redis import Redis

from workers.jobs import keys


async def subscribed(jobs: Redis) -> None:
    """The API's process hears events."""
    answer: Any = jobs.pubsub_numsub(keys.EVENTS)
    while not answer[0][1]:
        await asyncio.sleep(0.01)
        answer = jobs.pubsub_numsub(keys.EVENTS)
