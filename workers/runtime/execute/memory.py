"""How much memory a worker's device has, and what of it is taken."""

import os
from pathlib import Path

import torch


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
