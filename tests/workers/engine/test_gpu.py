"""On a GPU as on the CPU: the same numbers, and the ways out where its memory ends."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.toys import model_of, net
from workers.engine.arithmetic import products, settle
from workers.engine.copies import moved, stacked
from workers.engine.model.batch import Batch
from workers.engine.model.recorded_pass import WORTH, Recorder
from workers.explanation.target import ClassTarget, RankTarget
from workers.methods.method import parse_method
from workers.runtime.execute.hardware import machine, memory

SHAPE = (1, 8, 8)
GPU = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here"))
METHODS = (
    "gradient", "input_times_gradient", "integrated_gradients", "smooth_grad", "lrp", "deep_lift", "guided_backprop",
    "occlusion", "lime", "kernel_shap", "rise", "grad_cam",
)  # fmt: skip


@pytest.mark.parametrize("device", ["cpu", GPU])
@pytest.mark.parametrize("method", METHODS)
def test_a_device_finds_what_the_cpu_finds_in_float64(device: str, method: str) -> None:
    x = torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(1))
    found = [
        explained(method, x.to(dtype), "cpu" if dtype is torch.float64 else device, dtype)
        for dtype in (torch.float64, torch.float32)
    ]
    largest = np.abs(found[0]).max()
    assert largest > 0
    assert np.abs(found[0] - found[1]).max() < 1e-4 * largest


@pytest.mark.parametrize("device", [GPU])
def test_float32_on_a_gpu_is_float32_twice_the_same_and_tf32_is_not(device: str) -> None:
    settle(device)
    x = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(1))
    whole = explained("gradient", x.double(), "cpu", torch.float64)
    found, again = (explained("gradient", x, device, torch.float32) for _ in range(2))
    assert np.array_equal(found, again)
    assert np.abs(found - whole).max() < 1e-5 * np.abs(whole).max()
    with products("tf32"):
        shorter = explained("gradient", x, device, torch.float32)
    assert 0 < np.abs(shorter - found).max() < 0.1 * np.abs(whole).max()


@pytest.mark.parametrize("device", [GPU])
def test_inputs_come_by_pinned_memory_and_rows_are_bounded_by_what_is_free(device: str) -> None:
    model = model_of(net(), SHAPE, device=device)
    rows = list(np.random.default_rng(0).random((5, *SHAPE)).astype(np.float32))
    pinned = stacked(rows, model.device)
    assert pinned.is_pinned()
    there = moved(pinned, model.device, torch.float32)
    assert (there.device.type, np.array_equal(there.cpu().numpy(), np.stack(rows))) == ("cuda", True)
    assert model.most is not None
    assert model.most > 1000
    model._chunk = None
    assert model.chunk > 1


@pytest.mark.parametrize("device", [GPU])
def test_recorded_passes_on_a_gpu_are_those_of_the_cpu(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Recorder, "allowed", True)
    model, exact = model_of(net(), SHAPE, device=device), model_of(net(), SHAPE, torch.float64)
    for turn in range(WORTH + 3):
        x = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(turn))
        wanted = [ClassTarget(index=turn % 3), ClassTarget(index=2)]
        _, slopes = model.gradient(x.to(device), wanted)
        _, right = exact.gradient(x.double(), wanted)
        assert float((slopes.cpu() - right).abs().max()) < 1e-4 * float(right.abs().max())
    assert model.recorder.made == 1


def explained(method: str, x: torch.Tensor, device: str, dtype: torch.dtype) -> np.ndarray:
    model = model_of(net(), SHAPE, dtype, image=True, device=device)
    targets = [RankTarget(rank=0)] * len(x)
    rows = parse_method(method).explain(model, Batch(x.to(device), targets, list(range(len(x))))).rows()
    return np.stack([np.asarray(row.arrays["attribution"], np.float64) for row in rows])


@pytest.mark.parametrize("device", [GPU])
def test_the_receipt_names_the_gpu_and_the_heartbeat_its_memory(device: str) -> None:
    model = model_of(net(), SHAPE, device=device)
    told = machine(model, 1)
    assert (told["name"], told["instructions"][:3]) == (torch.cuda.get_device_name(), "sm_")
    assert 0 < memory(device)["allocated"] <= memory(device)["reserved"] < memory(device)["total"]
