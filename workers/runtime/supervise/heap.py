"""The heap of a worker: what has long been there is not searched again for cycles, which stops all else meanwhile."""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass
from typing import Literal

LONG_S = 0.05
OLDEST = 2


@dataclass
class _Watch:
    """Told by the collector of each collection; what a full one that took long has left is not looked at again."""

    began: float = 0.0

    def __call__(self, phase: Literal["start", "stop"], about: dict[str, int]) -> None:
        if about["generation"] < OLDEST:
            return
        if phase == "start":
            self.began = time.perf_counter()
        elif time.perf_counter() - self.began > LONG_S:
            gc.freeze()


def watch() -> None:
    """From here on the first full collection is the last long one."""
    gc.callbacks.append(_Watch())


def thaw() -> None:
    """Something large was let go: the next full collection looks at everything."""
    gc.unfreeze()
