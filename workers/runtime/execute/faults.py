"""What a client is told of an exception: never its text, unless we wrote it for clients. And what ends a process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import torch

from workers.explanation.errors import ExplainError, InternalError, InvalidTensor, OutOfMemory
from workers.runtime.supervise import shutdown

_OF_MEMORY = ("can't allocate memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
_OF_LOOKUP = "index out of range in self"  # what an embedding says of an id beyond its table
_OF_DEVICE = ("CUDA error", "HIP error", "device-side assert")

EXIT_CODE = 70  # of a process whose device is lost, or whose step hangs

log = structlog.get_logger()


class DeviceLost(BaseException):
    """The device is of no more use to this process, which must end; no Exception, for nothing may go on after it."""


def told(error: Exception) -> ExplainError:
    """The error a client sees; what is not made for clients is logged whole and told as an InternalError."""
    if isinstance(error, ExplainError):
        return error
    if isinstance(error, IndexError) and str(error) == _OF_LOOKUP:
        return InvalidTensor(
            "a value of the input names a row of a table in the model that is not there; ids begin at 0 and lie below "
            "the table's length",
            pointer="/input",
        )
    if out_of_memory(error):
        return OutOfMemory("the smallest batch does not fit into the device's memory; use fewer or smaller steps")
    log.error("a method failed", exc_info=error)
    return InternalError("the explanation failed for a reason that is ours to find; the worker's log has the details")


def out_of_memory(error: BaseException) -> bool:
    """Python's, CUDA's, or the CPU allocator's, which is a plain RuntimeError."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(text in str(error) for text in _OF_MEMORY)
    )


def device_lost(error: BaseException, device: torch.device) -> bool:
    """Whether an error has poisoned the device: after a failed assertion on it, say, every further call fails."""
    of_device = isinstance(error, torch.AcceleratorError) or (
        isinstance(error, RuntimeError) and any(text in str(error) for text in _OF_DEVICE)
    )
    return of_device and not out_of_memory(error) and not _answers(device)


def _answers(device: torch.device) -> bool:
    if device.type == "cpu":
        return False  # no error of its own looks so
    try:
        torch.zeros(1, device=device).add_(1).item()
    except RuntimeError:
        return False
    return True


@contextmanager
def contained() -> Iterator[None]:
    """What a method or a model raises to end the process ends the work alone."""
    try:
        yield
    except (SystemExit, KeyboardInterrupt) as error:
        if shutdown.told():
            raise
        raise RuntimeError(f"{type(error).__name__} was raised where nothing may end the process") from error
