"""A model folder whose net does as its input says: sleeps, raises, hangs, or kills its process at every pass."""

from __future__ import annotations

import textwrap
from enum import IntEnum
from pathlib import Path
from typing import Any

import tomli_w
import torch
from safetensors.torch import save_file

SIDE = 16
MARK = 0.625  # in what is meant to be obeyed: what the engine tries an operation with is not


class Do(IntEnum):
    """What a pass does, by the first value of its input."""

    NOTHING = 0
    DIE = 1
    MEMORY_ERROR = 2
    EXIT = 3
    INTERRUPT = 4
    RECURSE = 5
    HANG = 6
    LOSE_DEVICE = 7
    SEGFAULT = 8
    MEMORY_ERROR_OF_MANY = 9


NET = """
    import ctypes, os, signal, time
    import torch
    from torch import nn

    @torch.library.custom_op("trouble::obey", mutates_args=())
    def obey(x: torch.Tensor) -> torch.Tensor:
        meant = x[x[:, 0, 0, 3] == MARK, 0, 0]
        what, seconds = (int(meant[:, 0].max()), float(meant[:, 1].max())) if len(meant) else (0, 0.0)
        if seconds > 0:
            time.sleep(seconds)
        if what == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if what == 2:
            raise MemoryError
        if what == 3:
            raise SystemExit(3)
        if what == 4:
            raise KeyboardInterrupt
        if what == 5:
            raise RecursionError
        if what == 6:
            time.sleep(3600)
        if what == 7:
            raise torch.AcceleratorError("CUDA error: device-side assert triggered")
        if what == 8:
            ctypes.string_at(0)
        if what == 9 and len(x) > 8:
            raise MemoryError
        return x.clone()

    @obey.register_fake
    def _(x):
        return torch.empty_like(x)

    obey.register_autograd(lambda context, slope: slope)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Conv2d(1, 2, 3), nn.Linear(2 * 14 * 14, 3)

        def forward(self, x):
            return self.last(torch.relu(self.first(torch.ops.trouble.obey(x))).flatten(1))

    def build():
        time.sleep(SLOW)
        return Net()
"""


def write(folder: Path, load_s: float = 0.0) -> Path:
    """The folder; `load_s` is how long the model takes to load."""
    folder.mkdir(parents=True)
    card = {
        "model": {"source": "python:net.py:build", "weights": "weights.safetensors"},
        "input": {"kind": "tensor", "shape": [1, SIDE, SIDE]},
    }
    (folder / "card.toml").write_text(tomli_w.dumps(card))
    (folder / "net.py").write_text(textwrap.dedent(NET).replace("SLOW", str(load_s)).replace("MARK", str(MARK)))
    draw = torch.Generator().manual_seed(0)
    shapes = {"first.weight": (2, 1, 3, 3), "first.bias": (2,), "last.weight": (3, 2 * 14 * 14), "last.bias": (3,)}
    save_file(
        {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}, folder / "weights.safetensors"
    )
    return folder


def tensor(do: Do = Do.NOTHING, seconds: float = 0.0, nonce: float = 0.0) -> dict[str, Any]:
    """An input as JSON; inputs of different nonces are different inputs."""
    data = [float(do), seconds, nonce, MARK, *[0.5] * (SIDE * SIDE - 4)]
    return {"tensor": {"shape": [1, SIDE, SIDE], "dtype": "float32", "data": data}}
