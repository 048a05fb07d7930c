"""Targets of one input share its passes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from tests.orders import work
from tests.toys import batch_of, inputs, model_of, net
from tests.workers.methods.gradient.gradient_runs import attribution, explain
from tests.workers.methods.perturbation.segment_models import FEW, METHODS
from workers.engine.graph.graph import Graph
from workers.engine.model.batch import Batch
from workers.explanation.errors import Cancelled
from workers.explanation.target import ClassTarget, MaskTarget, UnitTarget, ValueTarget
from workers.jobs.stored_results import Finished
from workers.runtime.execute.run import run


@pytest.fixture
def rows_run(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many rows each forward pass took."""
    seen: list[int] = []
    run = Graph.run

    def counted(graph: Graph, x: Tensor, keep: tuple[int, ...] = ()) -> tuple[Tensor, dict[int, Tensor]]:
        seen.append(len(x))
        return run(graph, x, keep)

    monkeypatch.setattr(Graph, "run", counted)
    return seen  # type: ignore[return-value]  # filled while the test runs


@pytest.mark.parametrize("name", METHODS)
def test_the_targets_of_one_input_share_its_passes(name: str, rows_run: list[int]) -> None:
    model, x, few = model_of(net(), (1, 8, 8)), inputs(1), {"name": name, **FEW[name]}
    alone = [attribution(model, batch_of(x, target), **few) for target in (0, 1, 2)]
    rows_run.clear()
    explain(model, batch_of(x, 0), **few)
    passes = sum(rows_run)
    rows_run.clear()
    together = Batch(x.repeat(2, 1, 1, 1), [ClassTarget(index=0), ClassTarget(index=1)])
    torch.testing.assert_close(attribution(model, together, **few), torch.cat(alone[:2]), rtol=1e-4, atol=1e-5)
    assert sum(rows_run) == passes
    later = together.sharing([ClassTarget(index=2), ClassTarget(index=0)], [])
    torch.testing.assert_close(attribution(model, later, **few), torch.cat([alone[2], alone[0]]), rtol=1e-4, atol=1e-5)
    assert sum(rows_run) == passes


def test_a_request_for_several_targets_runs_its_masks_once(rows_run: list[int]) -> None:
    """As the worker does it: the default samples fill a batch, so each target is a batch of its own."""
    model = model_of(net(), (1, 8, 8))
    works = [work(index, {"name": "lime"}) for index in range(3)]
    rows_run.clear()
    found = dict(run(works, lambda _: model))
    assert all(isinstance(outcome, Finished) for outcome in found.values())
    assert sum(rows_run) == 1000 + 1  # the masks, and the prediction


def test_other_seeds_inputs_and_parameters_do_not_share(rows_run: list[int]) -> None:
    model, x = model_of(net(), (1, 8, 8)), inputs(1).repeat(2, 1, 1, 1)
    batch = batch_of(x, 0, seeds=[1, 2])
    few = {"name": "rise", "masks": 16}
    rows_run.clear()
    values = attribution(model, batch, **few)
    assert sum(rows_run) == 32
    assert not torch.allclose(values[0], values[1])
    attribution(model, batch.sharing(batch.targets, [1, 3]), **few)
    assert sum(rows_run) == 64
    attribution(model, batch, **few, keep=0.4)
    assert sum(rows_run) == 96


@pytest.mark.parametrize("name", METHODS)
def test_targets_that_are_no_class_are_scored_directly(name: str) -> None:
    model, x, few = model_of(net(), (1, 8, 8)), inputs(2), {"name": name, **FEW[name]}
    unit = attribution(model, batch_of(x, UnitTarget(layer="fc", index=(1,))), **few)
    torch.testing.assert_close(unit, attribution(model, batch_of(x, 1), **few))
    inner = attribution(model, batch_of(x, UnitTarget(layer="conv2", channel=1)), **few)
    assert torch.isfinite(inner).all()
    places = model_of(nn.Conv2d(1, 2, 1, bias=False), (1, 8, 8), output="segmentation")
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[:2] = True
    values = attribution(places, batch_of(x, MaskTarget(index=1, mask=tuple(map(tuple, mask.tolist())))), **few)
    assert torch.isfinite(values).all()
    value = model_of(nn.Sequential(nn.Flatten(), nn.Linear(64, 1)), (1, 8, 8), output="value")
    assert attribution(value, batch_of(x, ValueTarget()), **few).abs().sum() > 0


@pytest.mark.parametrize("name", METHODS)
def test_the_work_is_told_by_mask_and_stops_when_asked(name: str, rows_run: list[int]) -> None:
    told: list[tuple[int, int, str]] = []

    def report(done: int, total: int, unit: str) -> None:
        told.append((done, total, unit))
        if len(told) == 2:
            raise Cancelled("enough")

    model = model_of(net(), (1, 8, 8))
    rows_run.clear()
    with pytest.raises(Cancelled):
        explain(model, batch_of(inputs(1), 0, report=report), name=name, **FEW[name])
    assert [done for done, _, _ in told] == [8, 16]
    assert {unit for _, _, unit in told} == {"masks"}
    assert sum(rows_run) == 16
