"""How the threads of a loop wait for the next one: OpenMP is told before torch is imported, for it asks once."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

POLICY: Final = "OMP_WAIT_POLICY"
# GNU's: about 0.05 ms, a fifth of that where threads with loops of their own have more helpers than there are cores. To
# wake one that sleeps takes as long, and a pass has hundreds of loops; one that turned longer would starve others.
BRIEFLY: Final = {POLICY: "active", "GOMP_SPINCOUNT": "5000"}
NOT_AT_ALL: Final = {POLICY: "passive"}
SOFT: Final = 1  # omp_pause_soft: what was set is kept


def waits() -> dict[str, str]:
    """What the environment is to say: brief turns by GNU's OpenMP; another's would not end."""
    return BRIEFLY if _library() else NOT_AT_ALL


def settle() -> None:
    """Say it, unless somebody has."""
    if POLICY not in os.environ:
        os.environ.update(waits())


def rest() -> None:
    """End the helpers of this thread's loops, beside which those of other threads turn less; the next has new ones."""
    if os.environ.get(POLICY) == BRIEFLY[POLICY] and (pause := _pause()):
        pause(SOFT)


def _library() -> Path | None:
    """The GNU OpenMP that torch brought, unless another is preloaded in its place, as Intel's often is."""
    torch = find_spec("torch")
    if not torch or not torch.origin or any(name in os.environ.get("LD_PRELOAD", "") for name in ("libiomp", "libomp")):
        return None
    return next(Path(torch.origin).parent.glob("lib/libgomp*"), None)


@cache
def _pause() -> Callable[[int], int] | None:
    path = _library()
    return getattr(ctypes.CDLL(str(path)), "omp_pause_resource_all", None) if path else None
