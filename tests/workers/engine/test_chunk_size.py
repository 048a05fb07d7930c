"""The size of internal passes is measured on the model, kept, and halved where it does not fit."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count, repeat

import pytest
import torch
from torch import Tensor, nn

from tests.toys import CHUNK, batch_of, inputs, model_of, net
from tests.workers.methods.gradient.gradient_runs import attribution
from workers.engine.graph.graph import Graph
from workers.engine.model import chunk_size, rows_at_once
from workers.engine.model.model import Model


class Clock:
    """A device whose passes take what a function of their rows says; no time passes otherwise.

    `waiting` seconds of each pass are other processes'.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cost: object, waiting: Iterator[float] | None = None) -> None:
        self.now, self.waited, self.cost, self.sizes = 0.0, 0.0, cost, list[int]()
        self.waiting = waiting or repeat(0.0)
        monkeypatch.setattr(chunk_size, "time", self)

    def perf_counter(self) -> float:
        return self.now + self.waited

    def thread_time(self) -> float:
        return self.now

    def __call__(self, x: Tensor) -> None:
        self.sizes.append(len(x))
        self.now += self.cost(len(x))  # type: ignore[operator]  # any function of the rows
        self.waited += next(self.waiting)


ROW = torch.zeros(1, 4)


@pytest.mark.parametrize(("overhead", "spill", "best"), [(0.0, 99, 1), (0.005, 99, 32), (0.005, 8, 8), (0.02, 4, 4)])
def test_the_fastest_by_row_is_chosen(monkeypatch: pytest.MonkeyPatch, overhead: float, spill: int, best: int) -> None:
    """A pass costs something in itself, and rows beyond the cache cost five times more."""
    clock = Clock(monkeypatch, lambda rows: overhead + 0.004 * rows + 0.02 * max(0, rows - spill))
    assert chunk_size.fastest(clock, ROW) == best
    assert clock.now <= chunk_size.BUDGET_S


def test_the_first_pass_and_a_disturbance_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    disturbed = iter([0.1, 0.0, 0.0, 0.05, 0.0, 0.03])
    clock = Clock(
        monkeypatch, lambda rows: 0.002 + 0.001 * min(rows, 8) + 0.003 * max(0, rows - 8) + next(disturbed, 0)
    )
    assert chunk_size.fastest(clock, ROW) == 8


def test_what_other_processes_take_of_the_cores_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each pass waits longer than it computes, the small ones least."""
    clock = Clock(monkeypatch, lambda rows: 0.002 + 0.001 * rows, (0.01 * number for number in count()))
    assert chunk_size.fastest(clock, ROW, most=4) == 4


@pytest.mark.parametrize(("seconds", "passes"), [(0.2, 3), (0.6, 2), (5.0, 1)])
def test_a_slow_model_is_not_measured_for_long(monkeypatch: pytest.MonkeyPatch, seconds: float, passes: int) -> None:
    clock = Clock(monkeypatch, lambda rows: seconds * rows)
    assert chunk_size.fastest(clock, ROW) == 1
    assert len(clock.sizes) <= passes + 1


def test_what_does_not_fit_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, lambda _: 0.001)

    def run(x: Tensor) -> None:
        if len(x) > 4:
            raise MemoryError
        clock(x)

    assert chunk_size.fastest(run, ROW) == 4
    with pytest.raises(ZeroDivisionError):
        chunk_size.fastest(lambda _: 1 / 0, ROW)


def test_the_pass_that_loads_a_gpus_libraries_takes_none_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    loading = iter([3.0])
    clock = Clock(monkeypatch, lambda rows: 0.005 + 0.0001 * rows + next(loading, 0))
    assert (
        chunk_size.fastest(clock, torch.zeros(1, 4, device="meta")) == 8
    )  # the most of a device that nothing is known of


def test_a_gpu_takes_as_many_rows_as_it_has_memory_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of what is free, of the driver or of torch's own store."""
    model = model_of(net(), (1, 8, 8))
    each = rows_at_once.WALKED * rows_at_once.numbers(model.folded)
    free = {"mem_get_info": (30 * each, 10**12), "memory_reserved": 10 * each, "memory_allocated": 4 * each}
    for name, value in free.items():
        monkeypatch.setattr(torch.cuda, name, lambda _, value=value: value)
    assert rows_at_once.rows_in_memory(model.folded, torch.device("cuda:0")) == 18
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (0, 10**12))
    assert rows_at_once.rows_in_memory(model.folded, torch.device("cuda:0")) == 3
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 4 * each)
    assert rows_at_once.rows_in_memory(model.folded, torch.device("cuda:0")) == 1
    assert rows_at_once.rows_in_memory(model.folded, torch.device("xpu")) is None


def test_what_memory_allows_bounds_what_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int | None] = []

    def fastest(_run: object, _row: Tensor, most: int | None) -> int:
        asked.append(most)
        return 4

    monkeypatch.setattr("workers.engine.model.function.fastest", fastest)
    monkeypatch.setattr(Model, "most", 3)
    for device in ("cpu", "meta"):
        model = measured(net(), (1, 8, 8))
        model.device = torch.device(device)
        assert model.chunk == 4
    assert asked == [None, 3]


def measured(module: nn.Module, shape: tuple[int, ...]) -> Model:
    toy = model_of(module, shape)
    toy._chunk = None  # as the worker's are
    return toy


def test_it_is_measured_once_and_not_for_a_lone_row(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    run = Graph.run

    def counted(graph: Graph, x: Tensor, keep: tuple[int, ...] = ()) -> tuple[Tensor, dict[int, Tensor]]:
        sizes.append(len(x))
        time.sleep(0.001)
        return run(graph, x, keep)

    monkeypatch.setattr(Graph, "run", counted)
    model = measured(net(), (1, 8, 8))
    sizes.clear()
    model.forward(inputs(1))
    assert sizes == [1]
    found = model.chunk
    assert found in (1, 2, 4, 8, 16, 32)
    sizes.clear()
    assert model.chunk == found
    assert sizes == []


@pytest.mark.parametrize("method", ["occlusion", "integrated_gradients", "rise"])
def test_the_size_changes_no_result(method: str) -> None:
    model, x = model_of(net(), (1, 8, 8)), inputs(2)
    few = {"name": method, **({"masks": 50} if method == "rise" else {})}
    expected = attribution(model, batch_of(x, 1), **few)
    for size in (CHUNK // 2, CHUNK // 4, 1):
        assert model.shrink()
        assert model.chunk == size
        torch.testing.assert_close(attribution(model, batch_of(x, 1), **few), expected, rtol=1e-4, atol=1e-5)
    assert not model.shrink()
