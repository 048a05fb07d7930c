"""Heartbeats: what a worker publishes of itself, of its models and their cards, and what work it can take."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import orjson
import structlog
from redis import Redis
from redis.exceptions import RedisError

from workers.explanation.card import FULL, ModelCard, Precision
from workers.jobs import keys, profile
from workers.jobs.records import Store
from workers.models.repository import ModelRepository
from workers.runtime.supervise import shutdown

PERIOD_S = 2.0
LOOK_S = 0.2
WORKER_TTL_S = 10
CARD_TTL_S = 86400

log = structlog.get_logger()


class Beat:
    """Tells that a worker lives, and what it serves: `describe()` gives what else the heartbeat says, its id first.

    `ring` wakes a worker for a priority. `busy()` gives the digests of models of which it takes no more work just now.
    `precisions` are those that it computes in.
    """

    def __init__(
        self,
        store: Store,
        repository: ModelRepository,
        describe: Callable[[], dict[str, Any]],
        ring: Callable[[str], None],
        busy: Callable[[], Collection[str]] = frozenset,
        precisions: Sequence[Precision] = (FULL,),
    ) -> None:
        self.jobs: Redis = store.jobs
        self.store = store
        self.repository = repository
        self.describe = describe
        self.ring = ring
        self.busy = busy
        self.precisions = precisions
        self._cards: dict[str, float] = {}  # when each was published
        self._lock = threading.Lock()
        self._offering = threading.Lock()

    def once(self) -> None:
        """One heartbeat. What it names is there before it: cards, states, and the profile that work is claimed by."""
        with self._lock:
            whole = self.describe()
            opens = not self.repository.looked  # of the states that are told below, so it is asked first
            states = orjson.dumps([one.model_dump(exclude_none=True) for one in self.repository.states()])
            place = hashlib.sha256(states).hexdigest()[:16]
            if not self.jobs.expire(keys.states(place), WORKER_TTL_S):
                self._publish_cards(anew=place in self._cards)
                self.jobs.set(keys.states(place), states, ex=WORKER_TTL_S)
                self._cards[place] = time.monotonic()
            self.offer()
            told = {
                **whole,
                "states": place,
                "profile": self.store.profile,
                "methods": profile.methods(),
                "precisions": self.precisions,
                "ends": shutdown.asked(),
                "opens": opens,
                "at": time.time(),
            }
            with self.jobs.pipeline(transaction=False) as pipe:
                pipe.set(keys.worker(whole["id"]), orjson.dumps(told), ex=WORKER_TTL_S)
                pipe.sadd(keys.WORKERS, whole["id"])
                pipe.execute()

    def offer(self) -> None:
        """Tell what this worker serves, and what of it may be claimed now."""
        with self._offering:
            digests, busy = self.repository.digests(), self.busy()
            now = profile.served((digest for digest in digests if digest not in busy), self.precisions)
            rung = self.store.offer(profile.served(digests, self.precisions), WORKER_TTL_S, now)
        for due in rung:
            self._wake(due)

    def end(self) -> None:
        """Take back what was told of this worker."""
        name = self.describe()["id"]
        with self._lock, self.jobs.pipeline(transaction=True) as pipe:
            pipe.delete(keys.worker(name))
            pipe.srem(keys.WORKERS, name)
            pipe.execute()

    def start(self) -> None:
        """Beat in the background, at once when something has changed."""
        threading.Thread(target=self._beats, name="heartbeat", daemon=True).start()

    def _publish_cards(self, *, anew: bool) -> None:
        """Those that were not published of late; all where Redis has lost what we told."""
        late = time.monotonic() - CARD_TTL_S / 2
        fresh = {} if anew else self._cards
        new: Mapping[str, ModelCard] = {
            one.kept: one.card for one in self.repository.versions() if fresh.get(one.kept, -1e9) < late
        }
        if new:
            with self.jobs.pipeline(transaction=False) as pipe:
                for kept, card in new.items():
                    pipe.set(keys.card(kept), card.model_dump_json(), ex=CARD_TTL_S)
                pipe.execute()
            self._cards.update(dict.fromkeys(new, time.monotonic()))

    def _wake(self, priority: str) -> None:
        try:
            self.ring(priority)
        except RedisError as away:
            log.warning("a bell did not ring; the reconciler will ring it", error=type(away).__name__)

    def _beats(self) -> None:
        last, ending = 0.0, False
        while True:
            told_to_end = shutdown.asked() and not ending
            if self.repository.changed.is_set() or told_to_end or time.monotonic() - last > PERIOD_S:
                self.repository.changed.clear()
                last, ending = time.monotonic(), shutdown.asked()
                try:
                    self.once()
                except RedisError as error:
                    log.warning("no heartbeat", error=type(error).__name__)
                except Exception:
                    log.exception("no heartbeat")
            time.sleep(LOOK_S)
