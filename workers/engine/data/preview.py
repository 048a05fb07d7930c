"""What is being made, shown while it is: kept every few seconds for whoever follows the job."""

from __future__ import annotations

import time
from collections.abc import Callable

from torch import Tensor

from workers.engine.model.batch import Batch
from workers.explanation.result import PREVIEW

EVERY_S = 1.5


class Preview:
    """Call it at every step with what makes the picture; most calls cost nothing."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._shown_at = time.monotonic()

    def __call__(self, made: Callable[[], Tensor]) -> None:
        if time.monotonic() - self._shown_at >= EVERY_S:
            self._batch.resources.save(PREVIEW, {PREVIEW: made().detach().float().cpu().numpy()})
            self._shown_at = time.monotonic()
