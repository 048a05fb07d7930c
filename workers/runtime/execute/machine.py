"""The machine that computes, as far as it determines the last bits of a result."""

from __future__ import annotations

import platform
from functools import cache
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from workers.engine.model.model import Model


def machine(model: Model, rows: int) -> dict[str, Any]:
    """The device's name, its instructions or capability, threads, precision, and how many rows went at once."""
    return {
        **_device(str(model.device)),
        "threads": torch.get_num_threads(),
        "precision": torch.get_float32_matmul_precision(),
        "dtype": str(model.dtype).removeprefix("torch."),
        "batch_size": rows,
        "chunk": model.measured_chunk,
    }


@cache
def _device(place: str) -> dict[str, str]:
    device = torch.device(place)
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        return {"name": torch.cuda.get_device_name(device), "instructions": f"sm_{major}{minor}"}
    return {"name": _chip(), "instructions": torch.backends.cpu.get_cpu_capability()}


def _chip() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()
