"""What a child says of itself to its parent, and is told by it, is heard whenever a child is killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from tests.patience import PATIENCE_S
from workers.runtime.supervise import activity, shutdown


@pytest.mark.timeout(PATIENCE_S)  # of a lock that its holder took along, nobody gets anything
@pytest.mark.parametrize("says", [activity.note, shutdown.due], ids=["note", "due"])
def test_one_that_is_killed_as_it_says_something_keeps_nobody_waiting(says: Callable[[], object]) -> None:
    for _ in range(20):
        if (child := os.fork()) == 0:
            while True:
                says()
        time.sleep(0.01)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        before = activity.last()
        activity.note()
        assert activity.last() > before
        assert not shutdown.due()
