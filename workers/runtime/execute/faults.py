"""What a client is told of an exception: never its text, unless we wrote it for clients."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import structlog

from workers.engine.device import out_of_memory
from workers.explanation.errors import ExplainError, InternalError, InvalidTensor, OutOfMemory
from workers.runtime.supervise import shutdown

# Said of a value that is looked up and is not there: by embedding and index_select, indexing, gather and scatter, take,
# embedding_bag, one_hot.
_OF_LOOKUP = re.compile(
    r"index out of range in self|index -?\d+ is out of bounds for dimension \d+ with size \d+"
    r"|out of range: tried to access index -?\d+ on a tensor of \d+ elements\."
    r"|Index \d+ of input takes value -?\d+ which is not in the valid range \[0, \d+\)"
    r"|Class values must be (smaller than num_classes|non-negative)\."
)

EXIT_CODE = 70  # of a process whose device is lost, or whose step hangs

log = structlog.get_logger()


def end() -> NoReturn:
    """End this process, whose device is lost: what holds it starts another."""
    log.critical("the device is lost; this process ends")
    os._exit(EXIT_CODE)


def client_error(error: Exception) -> ExplainError:
    """The error a client sees; what is not made for clients is logged whole and told as an InternalError."""
    if isinstance(error, ExplainError):
        return error
    if isinstance(error, IndexError | RuntimeError) and _OF_LOOKUP.fullmatch(str(error).partition("\n")[0]):
        return InvalidTensor(
            "a value of the input names a row of a table in the model that is not there; ids begin at 0 and lie below "
            "the table's length",
            pointer="/input",
        )
    if out_of_memory(error):
        return OutOfMemory("the smallest batch does not fit into the device's memory; use fewer or smaller steps")
    log.error("a method failed", exc_info=error)
    return InternalError("the explanation failed for a reason that is ours to find; the worker's log has the details")


@contextmanager
def contained() -> Iterator[None]:
    """What a method or a model raises to end the process ends the work alone."""
    try:
        yield
    except (SystemExit, KeyboardInterrupt) as error:
        if shutdown.by_signal():
            raise
        raise RuntimeError(f"{type(error).__name__} was raised where nothing may end the process") from error
    except Exception as error:
        if shutdown.by_signal():  # met the source of a model, which may end no process either
            raise SystemExit from error
        raise
