"""The watchdog: ends a worker that lives but does not work, so that whatever restarts workers makes a new one.

Alive is not enough: a worker whose messages no longer come, or whose child hangs between two works, still answers
signals and pings. Work that waits while this worker has made no claim, held no lease and taken no step does not lie.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from redis.exceptions import RedisError

from workers.runtime.supervise import activity

LONGEST_S = 30.0
LOOK_S = 2.0
EXIT_CODE = 71

log = structlog.get_logger()


@dataclass
class Watchdog:
    """`waiting()` tells whether work waits that this worker could take; it may raise RedisError."""

    waiting: Callable[[], bool]
    longest: float = LONGEST_S
    _since: float = field(default_factory=time.monotonic)

    def stalled(self) -> bool:
        """One look: whether work has waited at every look for too long, and this worker did none of any."""
        if activity.last() == -math.inf:
            return True
        try:
            waits = self.waiting()
        except RedisError:
            waits = False  # nobody can work without Redis
        now = time.monotonic()
        if not waits:
            self._since = now
        return now - max(self._since, activity.last()) > self.longest


def start(waiting: Callable[[], bool]) -> None:
    """Look in the background for as long as the process lives."""
    watchdog = Watchdog(waiting)

    def looks() -> None:
        pause = threading.Event()
        while not pause.wait(LOOK_S):
            try:
                if watchdog.stalled():
                    end()
            except Exception:
                log.exception("the watchdog could not look")

    threading.Thread(target=looks, name="watchdog", daemon=True).start()


def end() -> None:
    """End this worker at once, its child first."""
    log.critical("this worker does no work, or cannot; it ends", longest_s=LONGEST_S)
    with contextlib.suppress(ProcessLookupError):
        if activity.child():
            os.kill(activity.child(), signal.SIGKILL)
    os._exit(EXIT_CODE)
