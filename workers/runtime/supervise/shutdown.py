"""Word from the worker's parent process to its child that the worker must end."""

import multiprocessing
import time

from billiard.common import terminate_handler_fired

GRACE_S = 4.0  # works that are not done by then are handed back at their next step

_requested = multiprocessing.Value("d", 0.0, lock=False)  # as of `activity`


def request() -> None:
    """Called in the parent when it was told to end."""
    _requested.value = time.monotonic()


def asked() -> bool:
    """In the child: whether the worker was told to end."""
    return bool(_requested.value > 0)


def lasting() -> float:
    """In the child: for how many seconds it has been ending."""
    return time.monotonic() - _requested.value if asked() else 0.0


def due() -> bool:
    """In the child: whether the work in hand must be given back now."""
    return bool(0 < _requested.value < time.monotonic() - GRACE_S)


def by_signal() -> bool:
    """In the child: whether the SystemExit that is raised is a signal's, and no method's own."""
    return bool(terminate_handler_fired())
