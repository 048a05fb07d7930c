"""Work that a server computes is waited for in threads beside the worker: it keeps no other work from its turn."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

AT_ONCE = 4  # claims of one model

log = structlog.get_logger()


@dataclass
class Aside:
    """The threads, by the digest of the model that they wait for; safe for threads."""

    _running: Counter[str] = field(default_factory=Counter)
    _threads: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def begin(self, model: str, work: Callable[[], None], after: Callable[[], None]) -> None:
        """Do the work in a thread; `after` is called once the model has room for more again, `full` or not."""
        with self._changed:
            self._running[model] += 1
            self._threads += 1
        args = (model, work, after)
        threading.Thread(target=self._do, args=args, name=f"aside-{model[-8:]}", daemon=True).start()

    def full(self) -> frozenset[str]:
        """The models of which as much is under way as may be."""
        with self._changed:
            return frozenset(model for model, running in self._running.items() if running >= AT_ONCE)

    def wait(self, seconds: float) -> bool:
        """Whether all of it has ended within so many seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._threads == 0, seconds)

    def _do(self, model: str, work: Callable[[], None], after: Callable[[], None]) -> None:
        try:
            work()
        except Exception:
            log.exception("work beside the worker's own failed; its lease lapses, and it is tried again")
        finally:
            with self._changed:
                was_full = self._running[model] >= AT_ONCE
                self._running[model] -= 1
                self._running += Counter()  # those at 0 are dropped
            if was_full:
                after()
            with self._changed:
                self._threads -= 1
                self._changed.notify_all()
