"""Word from the worker's child process to its parent that work goes on: claims, steps and leases renewed.

Without locks: whoever is killed as it holds one holds it for ever, and numbers of eight bytes are written at once.
"""

import math
import multiprocessing
import os
import time

_at = multiprocessing.Value("d", 0.0, lock=False)
_child = multiprocessing.Value("q", 0, lock=False)


def opening() -> None:
    """In the child: it starts, and is not expected to do any work until it first notes some."""
    _child.value = os.getpid()
    _at.value = math.inf


def fail() -> None:
    """In the child: it could not start, and no other would."""
    _at.value = -math.inf


def note() -> None:
    """In the child: work goes on."""
    _at.value = time.monotonic()


def last() -> float:
    """In the parent: when work last went on, by the monotonic clock.

    Infinity while the child starts, minus infinity when it could not.
    """
    return float(_at.value)


def child() -> int:
    """In the parent: the pid of the last child that started; 0 before the first."""
    return int(_child.value)
