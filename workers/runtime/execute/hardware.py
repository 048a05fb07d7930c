"""The machine that computes: what of it determines the last bits of a result, and how much of its memory is taken."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from workers.engine.model.function import Function


def machine(model: Function, rows: int) -> dict[str, Any]:
    """The device's name, its instructions or capability, threads, precision, and how many rows went at once."""
    return {
        **_device(str(model.device)),
        "threads": torch.get_num_threads(),
        "precision": model.precision,
        "dtype": str(model.dtype).removeprefix("torch."),
        "batch_size": rows,
        "chunk": model.measured_chunk,
        **({"remote": dict(model.seen)} if model.seen else {}),
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


def set_threads(count: int) -> None:
    """How many threads torch computes with, where this thread asks it.

    When torch is first used in a thread that takes what any thread set last: it is used before it is told.
    """
    torch.get_num_threads()
    torch.set_num_threads(count)


def memory(device: str) -> dict[str, int]:
    """Bytes by kind: of a GPU what torch has `allocated` and `reserved`, and what of the `total` is `free` for anyone.

    Of the CPU what is `resident`, the process's own memory. Nothing where the device is lost: the heart beats on.
    """
    if torch.device(device).type == "cpu":
        return {"resident": _resident()}
    try:
        free, total = torch.cuda.mem_get_info(device)
        allocated, reserved = torch.cuda.memory_allocated(device), torch.cuda.memory_reserved(device)
    except RuntimeError:
        return {}
    return {"allocated": allocated, "reserved": reserved, "free": free, "total": total}


def _resident() -> int:
    told = Path("/proc/self/statm")
    return int(told.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if told.exists() else 0
