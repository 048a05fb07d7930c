"""What is asked of the workers' models: send, remove, load, unload, read anew. Workers see it within a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

from redis.asyncio import Redis

from service.http.errors import ModelRefused, NotFound
from service.queue.connection import answering
from service.queue.served import Served, Summary
from workers.contract import LOADS_KEY, RELOADS_KEY, UNLOADED_KEY, UPLOADS_KEY, Objects, meant

LOOK_S = 0.1


class Repository:
    """Wishes in the jobs Redis; what is sent lies in `objects`. `served()` is what came of them, as of now."""

    def __init__(self, jobs: Redis, objects: Objects, served: Callable[[], Served]) -> None:
        self._jobs = jobs
        self.objects = objects
        self.served = served

    async def send(self, name: str, packed: Path) -> tuple[str, str | None]:
        """Have a packed folder served under a name; what it goes by from now on, and what was sent before.

        Raises ObjectsAway, QueueUnavailable.
        """
        place = await asyncio.to_thread(self.objects.put_file, "models", packed)
        async with answering():
            before = cast("bytes | None", await self._jobs.hget(UPLOADS_KEY, name))
            await self._jobs.hset(UPLOADS_KEY, name, place)
            await self._jobs.srem(UNLOADED_KEY, name)
        return sent(place), before.decode() if before else None

    async def restore(self, name: str, before: str | None) -> None:
        """Have what was sent before served again, or nothing of that name."""
        async with answering():
            if before is None:
                await self._jobs.hdel(UPLOADS_KEY, name)
            else:
                await self._jobs.hset(UPLOADS_KEY, name, before)

    async def remove(self, name: str) -> bool:
        """Take away what was sent under a name; False where nothing was."""
        async with answering():
            place = cast("bytes | None", await self._jobs.hget(UPLOADS_KEY, name))
            if place is None:
                return False
            await self._jobs.hdel(UPLOADS_KEY, name)
            await self._jobs.srem(UNLOADED_KEY, name)
            others = await self._jobs.hvals(UPLOADS_KEY)
        if place not in others:
            await asyncio.to_thread(self.objects.remove, place.decode())
        return True

    async def unload(self, name: str) -> None:
        async with answering():
            await self._jobs.sadd(UNLOADED_KEY, name)

    async def load(self, name: str) -> None:
        """Serve it again, and have every worker that serves it load it into memory now."""
        async with answering():
            await self._jobs.srem(UNLOADED_KEY, name)
            await self._jobs.hincrby(LOADS_KEY, name, 1)

    async def reload(self, name: str) -> None:
        """Have its folder read anew."""
        async with answering():
            await self._jobs.srem(UNLOADED_KEY, name)
            await self._jobs.hincrby(RELOADS_KEY, name, 1)

    def known(self, name: str) -> Summary:
        """A model in whatever state; raises NotFound."""
        models = self.served().models
        if name not in models:
            raise NotFound(f"there is no such model; {meant(name, models)}")
        return models[name]

    async def loaded(self, name: str, wait: float) -> Summary | None:
        """Have a model loaded: as it is once some worker has it in memory; None where that takes longer than may be.

        Raises NotFound, and ModelRefused with the reason where it cannot be served.
        """
        self.known(name)
        await self.load(name)
        model = await self.until(
            name, lambda one: one.state == "failed" or (one.state == "ready" and one.memory > 0), wait
        )
        if model is not None and model.state == "failed":
            raise ModelRefused(f"the model {name} cannot be served: {model.reason}")
        return model

    async def unloaded(self, name: str, wait: float) -> None:
        """Have a model served no more; raises NotFound."""
        self.known(name)
        await self.unload(name)
        await self.until(name, lambda one: one.state != "ready", wait)

    async def until(self, name: str, condition: Callable[[Summary], bool], wait: float) -> Summary | None:
        """The model as soon as the condition holds; None where it does not within so many seconds."""
        end = time.monotonic() + wait
        while True:
            model = self.served().models.get(name)
            if model is not None and condition(model):
                return model
            if time.monotonic() > end:
                return None
            await asyncio.sleep(LOOK_S)


def sent(place: str) -> str:
    """What an upload goes by in the states of models."""
    return place.rpartition("/")[2][:16]
