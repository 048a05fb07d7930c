"""Word from the worker's parent process to its child that the worker must end."""

import multiprocessing
import time

GRACE_S = 4.0  # works that are not done by then are handed back at their next step

_asked = multiprocessing.Value("d", 0.0)


def ask() -> None:
    """Called in the parent when it was told to end."""
    _asked.value = time.monotonic()


def due() -> bool:
    """In the child: whether the work in hand must be given back now."""
    return bool(0 < _asked.value < time.monotonic() - GRACE_S)
