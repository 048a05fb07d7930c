"""Heartbeats and model cards: what a worker publishes of itself."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import orjson
import structlog
from redis import Redis
from redis.exceptions import RedisError

from workers.engine.device import DeviceLost
from workers.explanation.card import ModelCard
from workers.jobs import keys
from workers.runtime.execute.faults import EXIT_CODE
from workers.runtime.execute.model_support import with_support

if TYPE_CHECKING:
    from workers.engine.model.function import Function

PERIOD_S = 2.0
WORKER_TTL_S = 10
CARD_TTL_S = 3600  # outlives any restart of a worker; a model that no worker has any more goes after it

log = structlog.get_logger()


class Beat:
    """Publishes that this worker lives, and the cards of the models it can serve.

    `describe()` gives what the heartbeat tells: id, pid, device, models loaded.
    """

    def __init__(self, jobs: Redis, describe: Callable[[], dict[str, Any]]) -> None:
        self.jobs = jobs
        self.describe = describe
        self.cards: dict[str, bytes] = {}

    def once(self) -> None:
        """One heartbeat; cards that Redis has lost are published again."""
        told = self.describe()
        cards = list(self.cards.items())
        with self.jobs.pipeline(transaction=False) as pipe:
            pipe.set(keys.worker(told["id"]), orjson.dumps({**told, "at": time.time()}), ex=WORKER_TTL_S)
            pipe.sadd(keys.WORKERS, told["id"])
            for name, _ in cards:
                pipe.expire(keys.card(name), CARD_TTL_S)
            kept = pipe.execute()[2:]
        for (name, card), there in zip(cards, kept, strict=True):
            if not there:
                self._publish(name, card)

    def publish(self, card: ModelCard) -> None:
        """Publish a card, now and for as long as the heart beats."""
        self.cards[card.name] = card.model_dump_json().encode()
        self._publish(card.name, self.cards[card.name])

    def start(self, models: Callable[[], Iterable[Function]]) -> None:
        """Beat in the background, and load and publish the models there too, one after the other."""
        threading.Thread(target=self._beats, name="heartbeat", daemon=True).start()
        threading.Thread(target=self._publish_all, args=(models,), name="cards", daemon=True).start()

    def _publish(self, name: str, card: bytes) -> None:
        with self.jobs.pipeline(transaction=True) as pipe:
            pipe.set(keys.card(name), card, ex=CARD_TTL_S)
            pipe.sadd(keys.CARDS, name)
            pipe.execute()

    def _publish_all(self, models: Callable[[], Iterable[Function]]) -> None:
        try:
            for model in models():
                try:
                    self.publish(with_support(model))
                except RedisError as error:
                    log.warning("a card waits for Redis", model=model.card.name, error=type(error).__name__)
        except DeviceLost:
            log.critical("the device is lost; this process ends")
            os._exit(EXIT_CODE)

    def _beats(self) -> None:
        pause = threading.Event()
        while True:
            try:
                self.once()
            except RedisError as error:
                log.warning("no heartbeat", error=type(error).__name__)
            pause.wait(PERIOD_S)
