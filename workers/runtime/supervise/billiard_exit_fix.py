"""Cure for billiard 4.3 under Celery 5.7, where a worker is told to end as its child takes up a bell.

The parent then forgets what the child has not acknowledged yet, and reads no more of what it says; the child waits
half a minute for that. Nothing of ours hangs on it: a bell that stays unanswered rings once more, to no effect.
"""

from typing import Final

from billiard import pool

WAIT_S: Final = 2.0  # four times as long as a parent that still reads takes to look


def apply() -> None:
    """Patch this process and those that it forks."""
    pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = round(WAIT_S / pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_INTERVAL)
