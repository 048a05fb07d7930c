"""What a client is told of an exception: never its text, unless we wrote it for clients."""

import structlog
import torch

from workers.errors import ExplainError, InternalError, OutOfMemory

log = structlog.get_logger()


def told(error: Exception) -> ExplainError:
    """The error a client sees; what is not made for clients is logged whole and told as an InternalError."""
    if isinstance(error, ExplainError):
        return error
    if out_of_memory(error):
        return OutOfMemory("the smallest batch does not fit into the device's memory; use fewer or smaller steps")
    log.error("a method failed", exc_info=error)
    return InternalError("the explanation failed for a reason that is ours to find; the worker's log has the details")


def out_of_memory(error: Exception) -> bool:
    """Python's, CUDA's, or the CPU allocator's, which is a plain RuntimeError."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )
