"""Copies to a GPU, by a module that notes what it is asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.patience import PATIENCE_S
from workers.engine.copies import ahead, moved, stacked

GPU, CPU = torch.device("cuda", 0), torch.device("cpu")


class Cuda:
    """Streams, and what was done on which."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []
        self.on = "now"

    def Stream(self, _: torch.device) -> str:  # noqa: N802  # as torch has it
        return "lane"

    def current_stream(self, _: torch.device) -> Cuda:
        return self

    def wait_stream(self, other: str) -> None:
        self.done.append(("wait", self.on, other))

    @contextmanager
    def stream(self, lane: str) -> Iterator[None]:
        self.on = lane
        yield
        self.on = "now"


class Values:
    """A tensor that notes where it is sent."""

    device = CPU

    def __init__(self, cuda: Cuda) -> None:
        self.cuda = cuda

    def to(self, where: Any, *_: Any, **how: Any) -> Values:
        self.cuda.done.append(("to", self.cuda.on, where, how))
        return self

    def record_stream(self, stream: Cuda) -> None:
        self.cuda.done.append(("kept for", stream.on))


def test_a_copy_goes_by_a_stream_of_its_own_and_is_waited_for() -> None:
    cuda = Cuda()
    moved(Values(cuda), GPU, torch.float32, cuda)  # type: ignore[arg-type]  # it is asked no more of
    assert cuda.done == [
        ("to", "lane", GPU, {"non_blocking": True}),
        ("to", "lane", torch.float32, {}),
        ("wait", "now", "lane"),
        ("kept for", "now"),
    ]
    assert moved(torch.ones(2), CPU, torch.float64, cuda).dtype == torch.float64
    assert len(cuda.done) == 4


def test_rows_for_a_gpu_lie_in_pinned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    empty = torch.empty

    def noted(*shape: int, pin_memory: bool = False, **how: Any) -> Tensor:
        asked.append({"shape": shape, "pinned": pin_memory})
        return empty(*shape, **how)

    monkeypatch.setattr(torch, "empty", noted)
    rows = list(np.random.default_rng(0).random((3, 2, 4)).astype(np.float32))
    for device in (CPU, GPU):
        made = stacked(rows, device)
        assert (made.dtype, made.numpy().tolist()) == (torch.float32, np.stack(rows).tolist())
    assert asked == [{"shape": (3, 2, 4), "pinned": True}]


@pytest.mark.parametrize("device", [CPU, GPU])
def test_what_is_made_comes_in_order_and_its_errors_in_their_turn(device: torch.device) -> None:
    def make(number: int) -> int:
        if number == 3:
            raise ZeroDivisionError
        return number * number

    assert list(ahead(make, range(3), device)) == [0, 1, 4]
    assert list(ahead(make, [], device)) == []
    told: list[int] = []
    with pytest.raises(ZeroDivisionError):
        told.extend(ahead(make, range(6), device))
    assert told == [0, 1, 4]


def test_the_next_is_made_while_this_one_is_computed_with() -> None:
    """For a GPU; a CPU has nothing to spare."""
    begun = [threading.Event() for _ in range(3)]

    def make(number: int) -> int:
        begun[number].set()
        return number

    for number in ahead(make, range(3), GPU):
        assert number == 2 or begun[number + 1].wait(PATIENCE_S)
    begun = [threading.Event() for _ in range(3)]
    for number in ahead(make, range(3), CPU):
        assert [one.is_set() for one in begun] == [at <= number for at in range(3)]
    only = ahead(make, range(3), GPU)
    next(only)
    only.close()  # type: ignore[attr-defined]  # a generator, which ends its thread
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")]
