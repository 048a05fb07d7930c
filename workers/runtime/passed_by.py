"""Kinds of work that this worker passes by, for they are of another version of Whence."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, field

PASSED_S = 5.0


@dataclass
class Passed:
    """Groups by when they may be looked at again: one whose jobs no worker takes is to come back and fail."""

    until: dict[str, float] = field(default_factory=dict)

    def note(self, groups: Collection[str]) -> None:
        """Pass these by for a while."""
        self.until |= dict.fromkeys(groups, time.monotonic() + PASSED_S)

    def groups(self) -> list[str]:
        """Those to pass by now."""
        now = time.monotonic()
        self.until = {group: until for group, until in self.until.items() if until > now}
        return list(self.until)
