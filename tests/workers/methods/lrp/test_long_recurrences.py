"""Long recurrences: what loading and explaining one takes grows with its length, and not with the square of that."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.toys import batch_of, exported, model_of
from tests.workers.methods.gradient.gradient_runs import explain
from workers.engine.compile.program import compile_program
from workers.runtime.execute.model_support import support

REFUSED = ("box_ratio", "cam", "implementation_invariance", "input_shift_invariance", "ssa", "switched_projection")


class Last(nn.Module):
    """A recurrent layer, and a linear one on its last output."""

    def __init__(self, rnn: nn.RNNBase) -> None:
        super().__init__()
        self.rnn = rnn
        self.fc: nn.Linear = nn.LazyLinear(2)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc(self.rnn(x)[0][:, -1])
        return output


RNNS: dict[str, Callable[[], nn.RNNBase]] = {
    "lstm": lambda: nn.LSTM(2, 3, batch_first=True),
    "gru": lambda: nn.GRU(2, 3, batch_first=True),
    "two directions": lambda: nn.LSTM(2, 3, batch_first=True, bidirectional=True),
}


def calls(work: Callable[[], Any]) -> int:
    """How many Python functions are entered, generators resumed counted: a measure of work that no machine changes."""
    count = 0

    def seen(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def costs(kind: str, steps: int) -> dict[str, int]:
    """By stage, the calls that it takes."""
    torch.manual_seed(0)
    module = Last(RNNS[kind]())
    with torch.no_grad():
        module(torch.zeros(1, steps, 2))
    program = exported(module, (steps, 2))
    model = model_of(module, (steps, 2))
    batch = batch_of(torch.randn(2, steps, 2), 1)
    return {
        "compile": calls(lambda: compile_program(program, torch.device("cpu"), torch.float32)),
        "say what it supports": calls(lambda: [support(model, name) for name in REFUSED]),
        "gradient": calls(lambda: explain(model, batch, name="gradient")),
        "lrp": calls(lambda: explain(model, batch, name="lrp")),
        "deep_lift": calls(lambda: explain(model, batch, name="deep_lift")),
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", RNNS)
def test_twice_the_steps_take_no_more_than_twice_the_work(kind: str) -> None:
    """Work that went with the square of the steps would grow by four."""
    costs(kind, 4)  # imports and what is made once
    short, long = costs(kind, 12), costs(kind, 24)
    assert {stage: long[stage] / short[stage] < 2.2 for stage in short} == dict.fromkeys(short, True), (short, long)


@pytest.mark.slow
def test_relevance_is_conserved_over_many_steps_and_every_step_is_named() -> None:
    torch.manual_seed(0)
    module = Last(nn.LSTM(2, 3, bias=False, batch_first=True))
    module.fc = nn.Linear(3, 2, bias=False)
    model = model_of(module, (60, 2), dtype=torch.float64)
    result = explain(model, batch_of(torch.randn(2, 60, 2, dtype=torch.float64)), name="lrp", composite="zero")
    assert all(check.gap < 1e-9 for checks in result.checks for check in checks)
    assert model.layer("rnn.l0.t59.c").shape == (3,)
