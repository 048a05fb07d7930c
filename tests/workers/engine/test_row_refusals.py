"""Rows of a batch: what is refused, and what is of no row."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.toys import batch_of, model_of
from tests.workers.engine.functions import Call, random
from tests.workers.engine.row_models import model
from tests.workers.methods.gradient.gradient_runs import explain
from workers.explanation.errors import ExplainError, InvalidFolder, InvalidTarget
from workers.explanation.request_target import parse_targets
from workers.explanation.target import UnitTarget
from workers.methods.catalogue import parse_method


def test_an_output_whose_rows_are_not_the_inputs_is_refused() -> None:
    linear = torch.nn.Linear(4, 3)
    with pytest.raises(
        InvalidFolder, match=r"for one input has the shape \[2, 3\], and its first axis is not the batch"
    ):
        model_of(Call(lambda x: linear(x.reshape(-1, 4)), linear), (2, 4))


def test_targets_are_checked_against_the_shape_of_one_row() -> None:
    card = model("frames").card
    assert parse_targets({"layer": "held.0", "channel": 3}, card) == [UnitTarget(layer="held.0", channel=3, axis=1)]
    assert parse_targets({"layer": "held.0", "index": [2, 3, 4, 4]}, card)
    for wrong in ({"layer": "held.0", "channel": 4}, {"layer": "held.0", "index": [3, 0, 0]}):
        with pytest.raises(InvalidTarget, match=r"held\.0"):
            parse_targets(wrong, card)


def test_what_does_not_depend_on_the_input_is_no_layer() -> None:
    """The first states of a recurrent net, which are zeros."""
    card = model("sequence first").card
    assert not any(layer.op == "zeros" for layer in card.layers)
    with pytest.raises(ExplainError, match="is the same whatever the input"):
        parse_method({"name": "lrp", "to": "zeros"}).refuse(model("sequence first"))


def test_ssa_of_a_row_whose_count_is_in_a_shape_is_that_of_the_row_alone() -> None:
    """What merges rows by their number, as reshape(rows * 5, 4) does, is run for the row."""
    wide, last = torch.nn.Linear(4, 5), torch.nn.Linear(5, 3)

    def run(x: Tensor) -> Tensor:
        seen = torch.relu(wide(x[:, 0].unfold(1, 4, 2).reshape(x.shape[0] * 5, 4)))
        return last(seen.view(x.shape[0], 5, 5).sum(1))  # type: ignore[no-any-return]

    found, x = model_of(Call(run, wide, last).float(), (1, 12), dtype=torch.float64), random(3, 1, 12)
    rows = explain(found, batch_of(x, 1), name="ssa", layers=["select"]).rows()
    alone = explain(found, batch_of(x[2:], 1), name="ssa", layers=["select"]).rows()[0]
    torch.testing.assert_close(torch.as_tensor(rows[2].arrays["frequency"]), torch.as_tensor(alone.arrays["frequency"]))
