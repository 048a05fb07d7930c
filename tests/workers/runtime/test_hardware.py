"""How much memory a worker tells of."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from workers.runtime.execute.hardware import memory
from workers.runtime.startup import chosen


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
    assert [chosen(device) for device in ("auto", "cuda:1", "cpu")] == ["cuda", "cuda:1", "cpu"]
