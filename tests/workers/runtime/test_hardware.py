"""How much memory a worker tells of."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from workers.runtime.execute.hardware import memory


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
