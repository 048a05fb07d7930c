"""The GPUs of this machine, dealt out to workers: one each, where there are several."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Mapping, Sequence

VISIBLE = "CUDA_VISIBLE_DEVICES"
DEVICE = "WHENCE_DEVICE"


def found(env: Mapping[str, str]) -> Sequence[str]:
    """The GPUs that workers may use: those that the environment names, else those that the driver lists.

    None where the environment says which device workers take.
    """
    if env.get(DEVICE, "auto") not in ("auto", "cuda"):
        return ()
    if VISIBLE in env:
        return [name.strip() for name in env[VISIBLE].split(",") if name.strip()]
    return _listed()


def share(number: int, gpus: Sequence[str]) -> dict[str, str]:
    """What the environment of a worker says of GPUs; workers beyond the last begin again with the first."""
    return {VISIBLE: gpus[number % len(gpus)]} if len(gpus) > 1 else {}


@functools.cache
def _listed() -> Sequence[str]:
    ask = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        said = subprocess.run(ask, capture_output=True, text=True, check=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return said.split()
