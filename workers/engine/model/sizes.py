"""Sizes of a model that takes inputs of any: which it runs on, and what is said of one that it does not take."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from threading import Lock
from typing import TypeVar

import torch

from workers.engine.device import device_lost, out_of_memory
from workers.explanation.errors import ExplainError, InvalidTensor
from workers.explanation.inputs import Shapes

NOT_TAKEN = (ExplainError, IndexError, RuntimeError)  # of a graph that is run, as a table of places is too short for

KEPT = 6  # of a model of open sizes

M = TypeVar("M")


def kept(make: Callable[[Shapes], M]) -> Callable[[Shapes], M]:
    """The same, which makes one at a time, and keeps the last few; safe for threads."""
    lock, had = Lock(), lru_cache(KEPT)(make)

    def made(shapes: Shapes) -> M:
        with lock:
            return had(shapes)

    return made


def first_taken(made: Callable[[Shapes], M], sizes: Iterable[Shapes]) -> M | None:
    """What is made of the first of these sizes that it can be made of."""
    for shapes in sizes:
        try:
            return made(shapes)
        except NOT_TAKEN:
            continue
    return None


def not_taken(error: Exception, shapes: Shapes, device: torch.device) -> Exception:
    """What is raised where a size cannot be made: of memory and of a device that is lost the error itself."""
    if out_of_memory(error) or device_lost(error, device):
        return error
    told = " and ".join(str(list(shape)) for shape in shapes)
    why = error.detail if isinstance(error, ExplainError) else str(error).partition("\n")[0]
    return InvalidTensor(f"the model does not take the size {told}: {why}", pointer="/input")
