"""Axes of a plot: round numbers to mark, and where a value lies between them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from service.render.text import number

MARKS = 6


@dataclass(frozen=True, slots=True)
class Axis:
    """From `low` to `high`, on a logarithmic scale if `log`; never of no length."""

    low: float
    high: float
    log: bool = False

    @classmethod
    def over(cls, low: float, high: float, log: bool = False) -> Axis:
        """The axis that holds these values; a single one gets room on both sides."""
        log = log and low > 0
        if low == high:
            return cls(low / 2, high * 2, log) if log else cls(low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2)
        return cls(low, high, log)

    def rounded(self) -> Axis:
        """The axis from a round number to a round number, so that both ends are marked."""
        step = self._step()
        return Axis(math.floor(self.low / step + 1e-9) * step, math.ceil(self.high / step - 1e-9) * step)

    def share(self, value: float) -> float:
        """Where a value lies, from 0 to 1."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def marks(self, whole: bool = False) -> list[float]:
        """The round numbers on it: 1, 2 or 5 times a power of ten apart; on a logarithmic one 1, 2 and 5 themselves.

        `whole`: no fractions.
        """
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            found = [base * 10.0**power for power in powers for base in (1, 2, 5)]
            return [mark for mark in found if self.low <= mark <= self.high * (1 + 1e-9)]
        step = max(self._step(), 1.0) if whole else self._step()
        first = math.ceil(self.low / step - 1e-9)
        return [float(f"{i * step:.12g}") for i in range(first, math.floor(self.high / step + 1e-9) + 1)]

    def written(self, value: float) -> str:
        """A number on it, in as many digits as tell one mark from the next: 1000.02 where they are hundredths apart."""
        if self.log:
            return number(value)
        largest = max(abs(self.low), abs(self.high))
        return number(value, max(3, math.floor(math.log10(largest)) - math.floor(math.log10(self._step())) + 1))

    def _step(self) -> float:
        span = self.high - self.low
        power = 10.0 ** math.floor(math.log10(span / MARKS))
        return next(base * power for base in (1, 2, 5, 10) if span / (base * power) <= MARKS)
