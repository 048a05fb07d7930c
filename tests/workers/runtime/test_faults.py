"""Which exceptions end a job, which a process."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.orders import work
from tests.toys import model_of, net
from workers.engine import device as device_faults
from workers.engine.device import DeviceLost, device_lost, out_of_memory
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.errors import ExplainError, InvalidFolder
from workers.explanation.result import Attribution
from workers.explanation.target import ClassTarget
from workers.methods.gradient.gradient import Gradient
from workers.methods.method import parse_method
from workers.runtime import tasks
from workers.runtime.execute import faults
from workers.runtime.execute.faults import contained
from workers.runtime.execute.run import run
from workers.runtime.supervise import shutdown

ASSERTED = torch.AcceleratorError("CUDA error: device-side assert triggered")


@pytest.mark.parametrize(
    ("error", "lost", "short"),
    [
        (ASSERTED, True, False),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), True, False),
        (RuntimeError("HIP error: unspecified launch failure"), True, False),
        (torch.AcceleratorError("CUDA error: out of memory"), False, True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), False, True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), False, True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"), False, True),
        (MemoryError(), False, True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False, False),
        (ValueError("CUDA error"), False, False),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_lost_device_is_told_from_a_lack_of_memory(error: Exception, lost: bool, short: bool) -> None:
    assert (device_lost(error, torch.device("cpu")), out_of_memory(error)) == (lost, short)


def test_a_device_that_still_answers_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_faults, "_answers", lambda device: device.type == "cuda")
    assert not device_lost(torch.AcceleratorError("CUDA error: invalid argument"), torch.device("cuda"))


def test_a_lost_device_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def explain(_: Gradient, model: Model, batch: Batch) -> Attribution:
        raise ASSERTED

    monkeypatch.setattr(Gradient, "explain", explain)
    model = model_of(net(), (1, 8, 8))
    with pytest.raises(DeviceLost):
        list(run([work(), work(value=0.1)], lambda _: model))


def test_what_a_model_or_a_refusal_raises_to_end_the_process_ends_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def ends(*_: object) -> None:
        raise SystemExit(1)

    model = model_of(net(), (1, 8, 8))
    ((_, loading),) = run([work()], ends)  # type: ignore[arg-type]
    monkeypatch.setattr(Gradient, "refuse", ends)
    ((_, refusing),) = run([work()], lambda _: model)
    for outcome in (loading, refusing):
        assert isinstance(outcome, ExplainError)
        assert outcome.code == "internal_error"


def test_a_signal_that_something_took_for_a_fault_of_its_own_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutdown, "by_signal", lambda: True)
    with pytest.raises(SystemExit), contained():
        raise InvalidFolder("the source ends the process")


def test_a_signal_is_not_contained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutdown, "by_signal", lambda: True)
    with pytest.raises(SystemExit), contained():
        raise SystemExit(-241)


def test_the_child_ends_where_the_device_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lost:
        def answer(self, _: str) -> None:
            raise DeviceLost

    class Ended(Exception):
        pass

    def end(code: int) -> None:
        raise Ended(code)

    monkeypatch.setattr(tasks, "_worker", Lost())
    monkeypatch.setattr("os._exit", end)
    with pytest.raises(Ended, match="70"):
        tasks.ring.run("interactive")


def test_the_child_outlives_a_lack_of_memory_between_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    """Celery ends the whole worker for a MemoryError."""

    class Short:
        def answer(self, _: str) -> None:
            raise MemoryError

    monkeypatch.setattr(tasks, "_worker", Short())
    tasks.ring.run("interactive")


LOOKUPS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "embedding": lambda table, ids: torch.nn.functional.embedding(ids, table),
    "index": lambda table, ids: table[ids],
    "index_select": lambda table, ids: table.index_select(0, ids.flatten()).view(*ids.shape, 3),
    "gather": lambda table, ids: torch.stack(
        [column.expand(ids.shape[0], -1).gather(1, ids) for column in table.T], -1
    ),
    "take": lambda table, ids: torch.take(table[:, 0], ids)[..., None].expand(*ids.shape, 3),
    "one_hot": lambda table, ids: torch.nn.functional.one_hot(ids, 7).float() @ table,
}


@pytest.mark.parametrize("name", ["predict", "occlusion", "integrated_gradients", "smooth_grad"])
@pytest.mark.parametrize("lookup", LOOKUPS)
def test_an_id_beyond_the_models_table_is_the_clients_mistake(name: str, lookup: str) -> None:
    class Words(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.fc = torch.nn.Parameter(torch.ones(7, 3)), torch.nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            output: Tensor = self.fc(LOOKUPS[lookup](self.table, x.long()).mean(1))
            return output

    model = model_of(Words(), (4,))
    for wrong in (7.0, -8.0):
        batch = Batch(torch.tensor([[1.0, 2.0, wrong, 3.0]]), [ClassTarget(index=0)])

        def asked(batch: Batch = batch) -> None:
            parse_method(name).explain(model, batch)
            model.prediction(batch)

        with pytest.raises((IndexError, RuntimeError, ExplainError)) as raised:
            asked()
        assert faults.client_error(raised.value).code in ("invalid_tensor", "method_not_applicable")
