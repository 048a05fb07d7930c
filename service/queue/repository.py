"""What is asked of the workers' models: send, remove, load, unload, read anew. Workers see it within a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import structlog
from redis.asyncio import Redis

from service.http.errors import ModelRefused, NotFound
from service.queue.connection import QueueUnavailable, answering
from service.queue.served import Served, Summary
from workers.contract import (
    LOADS_KEY,
    RELOADS_KEY,
    UNLOADED_KEY,
    Objects,
    ObjectsAway,
    async_script,
    meant,
    no_room,
)

LOOK_S = 0.1

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Sent:
    """A packed folder at its place in the store, and what was sent under its name before ("" for nothing)."""

    name: str
    place: str
    before: str = ""

    @property
    def mark(self) -> str:
        """What it goes by in the states of models."""
        return self.place.rpartition("/")[2][:16]


class Repository:
    """Wishes in the jobs Redis; what is sent lies in `objects`. `served()` is what came of them, as of now."""

    def __init__(self, jobs: Redis, objects: Objects, served: Callable[[], Served]) -> None:
        self._jobs = jobs
        self._upload = async_script(jobs, "upload")
        self.objects = objects
        self.served = served

    async def send(self, name: str, packed: Path) -> Sent:
        """Have a packed folder served under a name; raises QueueUnavailable, and OSError where there is no room."""
        try:
            place = await asyncio.to_thread(self.objects.put_file, "models", packed)
        except ObjectsAway as away:
            log.error("a model that was sent could not be kept", model=name, error=str(away))
            if no_room(away):
                raise
            raise QueueUnavailable("the store for what is sent takes nothing now; try again in a few seconds") from None
        before, _ = await self._become(name, place) or ("", False)
        return Sent(name, place, before)

    async def restore(self, sent: Sent) -> None:
        """Have what was sent before served again, or nothing of that name; what was sent since stays."""
        if (found := await self._become(sent.name, sent.before, wanted=sent.place)) is not None:
            await self._forget(*found)

    async def remove(self, name: str) -> bool:
        """Take away what was sent under a name; False where nothing was."""
        before, held = await self._become(name, "") or ("", False)
        await self._forget(before, held)
        return bool(before)

    async def _become(self, name: str, place: str, wanted: str = "") -> tuple[str, bool] | None:
        """What was sent under the name until now, and whether another name has it; None where it is not `wanted`."""
        async with answering():
            done, before, held = cast("tuple[int, bytes, int]", await self._upload(args=[name, wanted, place]))
        return (before.decode(), bool(held)) if done else None

    async def _forget(self, place: str, held: bool) -> None:
        """What is sent under no name is not needed any more."""
        if place and not held:
            try:
                await asyncio.to_thread(self.objects.remove, place)
            except ObjectsAway as away:
                log.warning("what was sent could not be removed from its store", place=place, error=str(away))

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

    async def unloaded(self, name: str, wait: float) -> Summary | None:
        """Have a model served no more: as it is then, None where that takes longer than may be. Raises NotFound."""
        self.known(name)
        await self.unload(name)
        return await self.until(name, lambda one: one.state != "ready", wait)

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
