"""How much memory a worker tells of."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from workers.engine.arithmetic import products, settle
from workers.explanation.card import Precision
from workers.runtime.execute.hardware import memory
from workers.runtime.startup import borne, chosen


def test_the_process_tells_what_it_takes() -> None:
    before = memory("cpu")["resident"]
    held = np.ones(2**24)  # 128 MiB, touched
    assert memory("cpu")["resident"] - before > 0.9 * held.nbytes


def test_a_gpu_tells_what_torch_has_and_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (3, 8))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 1)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 2)
    assert memory("cuda:1") == {"allocated": 1, "reserved": 2, "free": 3, "total": 8}


def test_a_gpu_that_is_lost_stops_no_heart(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(device: str) -> tuple[int, int]:
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(torch.cuda, "mem_get_info", lost)
    assert memory("cuda") == {}


def test_a_gpu_that_is_not_there_is_told_with_what_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert (chosen("auto"), chosen("cpu")) == ("cpu", "cpu")
    for device in ("cuda", "cuda:1"):
        with pytest.raises(RuntimeError, match=rf"WHENCE_DEVICE is {device}, .* cpu or auto works here"):
            chosen(device)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [chosen(device) for device in ("auto", "cuda:1", "cpu")] == ["cuda", "cuda:1", "cpu"]
    with pytest.raises(RuntimeError, match=r"WHENCE_DEVICE is cuda:2, and torch sees cuda:0 to cuda:1 \(CUDA_VIS"):
        chosen("cuda:2")


def test_a_worker_computes_in_float32_and_in_what_its_device_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    assert borne("float32", "cpu") == ("float32",)
    assert borne("bfloat16", "cpu") == ("float32", "bfloat16")
    assert borne("tf32", "cuda:1") == ("float32", "tf32")
    with pytest.raises(RuntimeError, match=r"WHENCE_PRECISION is tf32, and this worker computes on the cpu: .* CUDA"):
        borne("tf32", "cpu")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    lacking: list[Precision] = ["tf32", "bfloat16"]
    for one in lacking:
        with pytest.raises(RuntimeError, match=rf"WHENCE_PRECISION is {one}, and this GPU \(sm_75\) has no such"):
            borne(one, "cuda")
    assert borne("float32", "cuda") == ("float32",)


@pytest.fixture
def untouched() -> Iterator[None]:
    """torch's own settings, put back."""
    of_convolutions, of_products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = of_convolutions.allow_tf32, of_convolutions.deterministic, of_products.allow_tf32
    yield
    of_convolutions.allow_tf32, of_convolutions.deterministic, of_products.allow_tf32 = before
    of_products.allow_bf16_reduced_precision_reduction = True
    torch.utils.deterministic.fill_uninitialized_memory = True  # type: ignore[attr-defined]


def test_float32_is_no_tf32_and_tf32_is_for_a_while(untouched: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's default for convolutions on CUDA is tf32: answers would be a thousandth from the CPU's."""
    told: list[bool] = []
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda *_, **__: told.append(True))
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    settle("cpu")
    assert (torch.backends.cudnn.allow_tf32, told) == (True, [])
    settle("cuda:1")

    def now() -> tuple[bool, bool]:
        return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32

    assert (now(), told, torch.backends.cudnn.deterministic) == ((False, False), [True], True)
    with products("tf32"):
        assert now() == (True, True)
    assert now() == (False, False)
    others: list[Precision] = ["float32", "bfloat16"]
    for other in others:
        with products(other):
            assert now() == (False, False)
    with pytest.raises(ZeroDivisionError), products("tf32"):
        _ = 1 / 0
    assert now() == (False, False)
