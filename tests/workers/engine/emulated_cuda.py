"""torch.cuda's graphs on a CPU: what is called while one is recorded is called again when it is replayed, in place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only


class Recorded:
    """The calls, with the memory of the tensors that they were given and gave, laid as it was then."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, Any, Any, Any]] = []
        self.replays = 0

    def pool(self) -> Recorded:
        return self

    def replay(self) -> None:
        self.replays += 1
        with torch.no_grad():
            for call, args, kwargs, gave in self.calls:
                again = call(*_laid(args), **_laid(kwargs))
                for old, new in zip(tree_leaves(gave), tree_leaves(again), strict=True):
                    if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                        old.copy_(new)


class _Recording(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has it so
    def __init__(self, graph: Recorded) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.graph = graph

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = _laid((args, kwargs or {}))
        gave = func(*args, **(kwargs or {}))
        self.graph.calls.append((func, given[0], given[1], _laid(gave)))
        return gave


def _laid(values: Any) -> Any:
    """The values, each tensor another one of the same memory, which stays as it lies where the first is laid anew."""
    return tree_map_only(Tensor, lambda value: value.detach(), values)


class Lane:
    """One of the device: what it waited for, and how often it was the one that things were done on."""

    def __init__(self) -> None:
        self.used = 0
        self.waited: list[Lane] = []

    def wait_stream(self, other: Lane) -> None:
        self.waited.append(other)


class Cuda:
    """In place of torch.cuda; `graphs` are those that were recorded, on which streams, and `devices` on which GPUs.

    A recording that `breaks` off leaves its stream the current one, as torch's does.
    """

    def __init__(self) -> None:
        self.graphs: list[Recorded] = []
        self.recorded_on: list[Lane] = []
        self.devices: list[torch.device] = []
        self.breaks = False
        self.own = self._now = Lane()

    def CUDAGraph(self) -> Recorded:  # noqa: N802  # as torch has it
        self.graphs.append(Recorded())
        return self.graphs[-1]

    @contextmanager
    def graph(self, graph: Recorded, stream: Lane, **_: Any) -> Iterator[None]:
        before, self._now = self._now, stream
        self.recorded_on.append(stream)
        with _Recording(graph):
            yield
        if self.breaks:
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")
        self._now = before

    def Stream(self, _: torch.device) -> Lane:  # noqa: N802
        return Lane()

    def current_stream(self, _: torch.device) -> Lane:
        return self._now

    @contextmanager
    def stream(self, stream: Lane) -> Iterator[None]:
        before, self._now = self._now, stream
        stream.used += 1
        try:
            yield
        finally:
            self._now = before

    @contextmanager
    def device(self, device: torch.device) -> Iterator[None]:
        self.devices.append(device)
        yield
