"""Pace: the seconds that a pass of one row takes, measured as outcomes come."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workers.jobs import keys
from workers.jobs.work import Work
from workers.methods.cost import passes
from workers.runtime.execute.run import Load

if TYPE_CHECKING:
    from workers.engine.model.function import Function


def _alone() -> int:
    """One claim."""
    return 1


@dataclass
class Pace:
    """One claim's measurements; all that passes between two outcomes is counted for the later one.

    The first row of a batch thus takes the whole batch's time and the others next to none, and their mean is right.
    `running()` says how many claims the worker's time is shared by now.
    """

    clock: Callable[[], float] = time.perf_counter
    running: Callable[[], int] = _alone
    _since: float = field(init=False)
    _seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    _passes: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))

    def __post_init__(self) -> None:
        self._since = self.clock()

    def apart(self, load: Load) -> Load:
        """The same loading of models, whose time counts for no pass: the next batch finds them loaded."""

        def loaded(work: Work) -> Function:
            model = load(work)
            self._since = self.clock()
            return model

        return loaded

    def note(self, work: Work, *, finished: bool) -> None:
        """An outcome; what did not finish says nothing of how long it takes."""
        now = self.clock()
        if finished:
            name = keys.pace(work.job.model, work.job.method.name)
            self._seconds[name] += (now - self._since) / self.running()
            self._passes[name] += passes(work.job.method, work.passes)
        self._since = now

    def measured(self) -> dict[str, float]:
        """Seconds per pass and row, by `keys.pace`."""
        return {name: seconds / self._passes[name] for name, seconds in self._seconds.items()}
