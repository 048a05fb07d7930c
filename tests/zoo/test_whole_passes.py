"""A gradient by one pass through the whole of a net, plainly and from a recording, is that of its tape."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from tests.workers.engine.emulated_cuda import Cuda
from tests.zoo.animals import ZOO
from tests.zoo.asking import given, loaded
from tests.zoo.test_law import EXACT, QUICK, apart, questions, targets_of
from workers.engine.model.batch import Batch
from workers.engine.model.explained_score import explained_scores
from workers.engine.model.model import Model
from workers.engine.model.recorded_pass import WORTH, Recorder
from workers.explanation.target import Target

HELD = "gated"  # of two inputs one that is context: nothing flows there
BOTH = [*QUICK, HELD, *(pytest.param(name, marks=pytest.mark.zoo) for name in ZOO if name not in (*QUICK, HELD))]


@pytest.mark.parametrize("name", BOTH)
def test_one_pass_through_the_whole_gives_what_the_tape_does(name: str) -> None:
    model = loaded(name)
    x = given(name, model.rows or 3)
    for method in (one for one in questions(name) if one.name in EXACT):
        for told, target in targets_of(name).items():
            by_tape, at_once = (Batch(x, [target] * len(x), [0] * len(x), once=once) for once in (False, True))
            one, other = (method.explain(model, batch).rows() for batch in (by_tape, at_once))
            assert max(apart(*pair) for pair in zip(other, one, strict=True)) < 1e-10, told
            scores = ([each["score"] for each in explained_scores(model, batch)[1]] for batch in (at_once, by_tape))
            assert next(scores) == pytest.approx(next(scores), rel=1e-10, abs=1e-12), told


@pytest.mark.parametrize("name", BOTH)
def test_a_recorded_pass_is_a_plain_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if "gradient" not in {one.name for one in questions(name)}:
        pytest.skip("no gradient goes back to its input")
    monkeypatch.setattr(Recorder, "allowed", True)
    plain, recorded = loaded(name), copy.copy(loaded(name))
    recorded.recorder = Recorder(torch.device("cuda", 0), Cuda())
    target = next(iter(targets_of(name).values()))
    for seed in range(WORTH + 3):
        x = given(name, plain.rows or 2, seed)
        found, wanted = (slopes(model, x, target) for model in (recorded, plain))
        assert float((found - wanted).abs().max()) <= 1e-10 * max(1.0, float(wanted.abs().max()))
    assert recorded.recorder.made == (0 if plain.graph.alone else 1)


def slopes(model: Model, x: Tensor, target: Target) -> Tensor:
    return model.gradient(x, model.resolve(Batch(x, [target] * len(x))))[1]
