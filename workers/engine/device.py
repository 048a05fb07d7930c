"""What a device does to a process: memory that is used up, and a device that is lost."""

from __future__ import annotations

import torch

_OF_MEMORY = ("can't allocate memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
_OF_DEVICE = ("CUDA error", "HIP error", "device-side assert")


class DeviceLost(BaseException):
    """The device is of no more use to this process, which must end; no Exception, for nothing may go on after it."""


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
