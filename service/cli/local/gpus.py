"""The GPUs of this machine, dealt out to workers: one each, where there are several."""

from __future__ import annotations

import functools
import re
import subprocess
from collections.abc import Mapping, Sequence
from itertools import takewhile

_GPU = re.compile(r"GPU (\d+): ")
_PART = re.compile(r"\s+MIG .*\(UUID: (MIG-[^)]+)\)")
VISIBLE = "CUDA_VISIBLE_DEVICES"
DEVICE = "WHENCE_DEVICE"


def found(env: Mapping[str, str]) -> Sequence[str]:
    """The GPUs that workers may use: those that the environment names, else those that the driver lists.

    None where the environment says which device workers take. Of a GPU that is split (MIG) its parts are. As CUDA has
    it, what stands behind a name that begins with a minus is not there.
    """
    if env.get(DEVICE, "auto") not in ("auto", "cuda"):
        return ()
    if VISIBLE in env:
        named = (name.strip() for name in env[VISIBLE].split(","))
        return list(dict.fromkeys(takewhile(lambda name: name and not name.startswith("-"), named)))
    return _listed()


def share(number: int, gpus: Sequence[str]) -> dict[str, str]:
    """What the environment of a worker says of GPUs; workers beyond the last begin again with the first."""
    return {VISIBLE: gpus[number % len(gpus)]} if len(gpus) > 1 else {}


@functools.cache
def _listed() -> Sequence[str]:
    try:
        said = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    found: dict[str, list[str]] = {}
    for line in said.splitlines():
        if whole := _GPU.match(line):
            found[whole[1]] = []
        elif found and (part := _PART.match(line)):
            found[next(reversed(found))].append(part[1])
    return [name for gpu, parts in found.items() for name in parts or [gpu]]
