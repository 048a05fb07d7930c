"""Candidates timed in turn in one run, so that a drift of the machine falls on all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Call = Callable[[], object]
Taken = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Aim:
    """What a candidate should reach: at most `ratio` times another's median, or `more` seconds above it."""

    name: str
    of: str
    ratio: float | None = None
    more: float | None = None

    def verdict(self, taken: Taken) -> str:
        """One line: the aim, what was measured, and whether that meets it."""
        mine, theirs = (statistics.median(taken[name]) for name in (self.name, self.of))
        if self.ratio is not None:
            said, met = f"{self.ratio:.2f} of {self.of}: {mine / theirs:.2f}", mine <= self.ratio * theirs
        else:
            assert self.more is not None
            above = mine - theirs
            said, met = f"{self.more * 1e3:g} ms above {self.of}: {above * 1e3:.1f} ms", above <= self.more
        return f"   aim  {self.name} at most {said}, {'met' if met else 'MISSED'}"


def alternate(
    calls: Mapping[str, Call],
    rounds: int,
    warmup: int = 2,
    in_a_row: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds by `clock` that each call took, round by round; in each round another one begins.

    What takes less than a millisecond is called several times in a row, or it would pay for the caches that its
    neighbours emptied.
    """
    names = list(calls)
    for _ in range(warmup):
        for name in names:
            calls[name]()
    taken: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            for _ in range(in_a_row):
                started = clock()
                calls[name]()
                taken[name].append(clock() - started)
    return taken


def report(title: str, taken: Taken, floor: str, aims: Sequence[Aim] = ()) -> None:
    """Print the medians with their quartiles and their ratio to the floor's, then the verdicts on the aims."""
    lowest = statistics.median(taken[floor])
    print(f"\n   {title:48} {'median':>10} {'quartiles':>17} {'ratio':>7}")
    for name, seconds in taken.items():
        low, middle, high = statistics.quantiles(seconds, n=4, method="inclusive")
        spread = f"{low * 1e3:.2f}-{high * 1e3:.2f}"
        print(f"   {name:48} {middle * 1e3:7.2f} ms {spread:>17} {middle / lowest:7.2f}")
    for aim in aims:
        print(aim.verdict(taken))
