"""Which passes a batch makes, and when it stops."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from tests.orders import work
from tests.toys import model_of, net
from tests.workers.runtime.runs import Run, codes
from workers.engine.graph.graph import Graph
from workers.engine.graph.tape import Tape
from workers.engine.model.model import Model
from workers.explanation.errors import Cancelled
from workers.explanation.tensors import decode_npy
from workers.jobs.stored_results import Finished
from workers.jobs.work import Work
from workers.methods.cost import MAX_ROWS
from workers.runtime.execute.run import Outcome, batches, run


@pytest.fixture(scope="module")
def model() -> Model:
    return model_of(net(), (1, 8, 8))


@pytest.fixture
def results(model: Model) -> Callable[[Sequence[Work]], dict[str, Outcome]]:
    def outcomes(works: Sequence[Work]) -> dict[str, Outcome]:
        found = list(run(works, lambda _: model))
        assert len(found) == len(works)
        return {work.id: outcome for work, outcome in found}

    return outcomes


def test_a_batch_that_is_stopped_is_not_tried_again(model: Model) -> None:
    works = [work(0, "integrated_gradients"), work(1, "integrated_gradients")]
    begun = []

    def watch(watched: Sequence[Work]) -> Callable[[int, int, str], None]:
        begun.append(len(watched))

        def report(done: int, total: int, unit: str) -> None:
            raise Cancelled("withdrawn")

        return report

    outcomes = {each.id: outcome for each, outcome in run(works, lambda _: model, watch)}
    assert codes(outcomes, works) == ["cancelled", "cancelled"]
    assert begun == [2, 2]  # while their model was loaded, and as they began


def test_methods_on_one_input_share_its_forward_pass(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = []
    forward = Model.forward

    def counted(self: Model, x: torch.Tensor) -> torch.Tensor:
        passes.append(len(x))
        return forward(self, x)

    monkeypatch.setattr(Model, "forward", counted)
    same, other = [work(0, "predict"), work(0, "occlusion")], work(0, "occlusion", value=0.9)
    list(run(same, lambda _: model))
    shared = len(passes)
    passes.clear()
    list(run([same[0], other], lambda _: model))
    assert len(passes) == shared + 1


@pytest.mark.parametrize(
    ("methods", "through"),
    [
        ([("gradient", 0)], ["whole 1"]),
        ([("gradient", 0), ("gradient", 1)], ["whole 2"]),
        ([("input_times_gradient", 0)], ["whole 1"]),
        ([("gradient", 0), ("lrp", 0)], ["node by node 1"]),
        ([("lrp", 0), ("gradient", 0)], ["node by node 1"]),
        ([("gradient", 0), ("lrp", 1)], ["whole 1", "node by node 1"]),
    ],
    ids=str,
)
def test_a_gradient_makes_no_tape_unless_another_method_walks_it(
    model: Model, monkeypatch: pytest.MonkeyPatch, methods: list[tuple[str, int]], through: list[str]
) -> None:
    made: list[str] = []
    whole, tape = Graph.run, Tape.__init__

    def ran(self: Graph, x: torch.Tensor, keep: Iterable[int] = ()) -> Any:
        made.append(f"whole {len(x)}")
        return whole(self, x, keep)

    def recorded(self: Tape, graph: Graph, x: torch.Tensor) -> None:
        made.append(f"node by node {len(x)}")
        tape(self, graph, x)

    monkeypatch.setattr(Graph, "run", ran)
    monkeypatch.setattr(Tape, "__init__", recorded)
    works = [work(0, method, value=0.1 * picture) for method, picture in methods]
    found = dict(run(works, lambda _: model))
    assert made == through  # the prediction and the score are read from it
    assert all(isinstance(outcome, Finished) for outcome in found.values())


def test_seeds_are_each_rows_own(results: Run) -> None:
    noisy = [work(0, {"name": "smooth_grad", "samples": 4, "seed": seed}) for seed in (1, 2)]
    assert noisy[0].job.group == noisy[1].job.group
    together = results(noisy)
    for each in noisy:
        one, two = results([each])[each.id], together[each.id]
        assert isinstance(one, Finished)
        assert isinstance(two, Finished)
        np.testing.assert_allclose(
            decode_npy(one.arrays["attribution"]), decode_npy(two.arrays["attribution"]), rtol=1e-4, atol=1e-6
        )


def test_batches_keep_groups_apart_and_are_cut_to_size() -> None:
    cheap = [work(index) for index in range(MAX_ROWS + 1)]
    dear = [work(index, {"name": "occlusion", "patch": 1, "stride": 1}) for index in range(2)]
    found = list(batches([cheap[0], dear[0], *cheap[1:], dear[1]]))
    assert [len(batch) for batch in found][:2] == [MAX_ROWS, 1]
    assert all(len({each.job.group for each in batch}) == 1 for batch in found)
    assert sum(map(len, found)) == MAX_ROWS + 3
