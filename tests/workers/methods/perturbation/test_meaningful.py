"""meaningful_perturbation: its mask, its ways of deleting, and what it finds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.references import needs_references, photographs, prepared, reference_model
from tests.toys import batch_of, inputs, model_of, net
from tests.tree import ROOT
from tests.workers.methods.gradient.gradient_runs import attribution, explain
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.errors import Cancelled, MethodNotApplicable
from workers.explanation.images.decoding import prepare
from workers.explanation.target import UnitTarget
from workers.methods.catalogue import parse_method
from workers.methods.perturbation.meaningful_perturbation.fills import towards
from workers.methods.perturbation.meaningful_perturbation.mask_optimisation import Game, begin
from workers.methods.perturbation.meaningful_perturbation.smooth_masks import Cells, variation
from workers.models.folder import read_folder
from workers.models.loading import load_model

PATCH = (slice(3, 7), slice(9, 13))


class Patch(nn.Module):
    """Sees class 1 where one patch is bright."""

    def forward(self, x: Tensor) -> Tensor:
        bright = x[:, 0, PATCH[0], PATCH[1]].mean((1, 2))
        return torch.stack([0 * bright + 0.5, bright], 1) * 10


def planted() -> tuple[Model, Tensor]:
    return model_of(Patch(), (1, 16, 16)), inputs(2, shape=(1, 16, 16)).abs() * 0.3 + 0.85


def game(model: Model, of: Batch, preserve: bool = False, fill: float = 0.0, cells: int = 28) -> Game:
    erase = towards(of.x, torch.full_like(of.x, fill))
    spread = Cells.over(model.card.input, cells, of.x)
    return Game(model, of.targets, spread, erase, preserve, True, area=1e-4, smoothness=1e-2, power=3.0)


# The descent ---------------------------------------------------------------------------------------------------------


def test_the_slope_is_that_of_the_objective() -> None:
    model = model_of(net(), (1, 8, 8), dtype=torch.double)
    of = batch_of(inputs(1).double(), 1)
    for preserve in (False, True):
        played = game(model, of, preserve, cells=4)
        mask = torch.rand(1, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.double)

        def objective(m: Tensor, played: Game = played, preserve: bool = preserve) -> float:
            p = model.forward(of.x * played.cells.mask(m)).softmax(1)[0, 1]
            extent = m.abs().sum() if preserve else (1 - m).abs().sum()
            return float((-p if preserve else p) + 1e-4 * extent + 1e-2 * variation(m, 3.0)[0])

        slope = played.slope(torch.tensor([0]), mask, torch.zeros(1, 2, dtype=torch.long))
        for cell in ((0, 0), (1, 2), (3, 3)):
            step = torch.zeros_like(mask)
            step[0, cell[0], cell[1]] = 1e-6
            finite = (objective(mask + step) - objective(mask - step)) / 2e-6
            assert float(slope[0, cell[0], cell[1]]) == pytest.approx(finite, rel=1e-4, abs=1e-9)


def test_the_first_mask_is_the_smallest_ball_that_suffices() -> None:
    model, x = planted()
    for preserve in (False, True):
        of = batch_of(x[:1], 1)
        played = game(model, of, preserve)
        start = begin(played, of, "begin")
        centre = torch.arange(16) - 7.5
        distance = (centre[:, None] ** 2 + centre**2).sqrt()
        inside = start.masks[0] == (1 if preserve else 0)
        radius = float(distance[inside].max())
        assert torch.equal(inside, distance <= radius + 1e-6)
        assert float(start.whole) == pytest.approx(float(model.forward(x[:1]).softmax(1)[0, 1]))
        assert float(start.nothing) == pytest.approx(float(model.forward(x[:1] * 0).softmax(1)[0, 1]))
        for ball, reached in ((inside, True), (distance < radius - 0.7, False)):
            mask = ball.float() if preserve else 1 - ball.float()
            score = float(
                played.score(torch.tensor([0]), played.erase(torch.tensor([0]), played.cells.mask(mask[None])))
            )
            share = (score - float(start.nothing)) / float(start.whole - start.nothing)
            assert (share >= 0.99 if preserve else share <= 0.01) == reached


def test_where_there_is_no_evidence_nothing_is_deleted() -> None:
    model, x = planted()
    of = batch_of(x, 0)
    start = begin(game(model, of), of, "begin")
    assert (start.whole < start.nothing).all()
    assert (start.masks == 1).all()
    assert float(attribution(model, of, name="meaningful_perturbation", perturbation="constant").max()) < 0.05


@pytest.mark.parametrize("kind", ["deletion", "preservation"])
def test_it_finds_the_planted_patch(kind: str) -> None:
    model, x = planted()
    result = explain(
        model, batch_of(x, 1), name="meaningful_perturbation", game=kind, perturbation="constant", fill="zero",
        area=1e-2, smoothness=1e-3,
    )  # fmt: skip
    for mask, info in zip(result.arrays["attribution"][:, 0], result.info, strict=True):
        outside = torch.ones(16, 16, dtype=torch.bool)
        outside[2:8, 8:14] = False
        assert float(mask[PATCH].mean()) > 0.5
        assert float(mask[outside].mean()) < 0.02
        share = info["perturbed_score"] / info["score"]
        assert share < 0.05 if kind == "deletion" else share > 0.9


def test_rows_are_optimised_side_by_side_each_for_itself() -> None:
    """Each row has its own seed, target and first mask; more rows than one internal batch."""
    model = model_of(net(), (1, 8, 8), dtype=torch.double)
    x = inputs(model.chunk + 3).double()
    seeds = list(range(len(x)))
    method = parse_method({"name": "meaningful_perturbation", "steps": 60, "jitter": 3})
    together = method.explain(model, batch_of(x, seeds=seeds)).arrays
    for row in (0, 5, model.chunk + 1):
        alone = method.explain(model, batch_of(x[row : row + 1], seeds=[row])).arrays
        for name, array in alone.items():
            torch.testing.assert_close(array[0], together[name][row], rtol=1e-7, atol=1e-9)
    again = method.explain(model, batch_of(x[:1], seeds=[99])).arrays["attribution"]
    assert not torch.allclose(again[0], together["attribution"][0])


def test_without_jitter_the_seed_does_not_matter() -> None:
    model, x = planted()
    method = {"name": "meaningful_perturbation", "steps": 10, "jitter": 0}
    one, other = (attribution(model, batch_of(x, 1, seeds=[s, s]), **method) for s in (1, 2))
    assert torch.equal(one, other)


def test_every_step_is_reported_and_may_stop_the_work() -> None:
    model, x = planted()
    seen: list[tuple[int, int, str]] = []

    def report(*progress: object) -> None:
        seen.append(progress)  # type: ignore[arg-type]  # what a report is given
        if progress[0] == 7 and progress[2] == "steps":
            raise Cancelled("enough")

    method = parse_method({"name": "meaningful_perturbation", "steps": 10})
    with pytest.raises(Cancelled):
        method.explain(model, batch_of(x, 1, report=report))
    assert [progress for progress in seen if progress[2] == "steps"] == [(i, 10, "steps") for i in range(1, 8)]


@pytest.mark.parametrize("shape", [(2, 40), (1, 6, 8, 10), (1, 1, 12)])
@pytest.mark.parametrize("perturbation", ["blur", "constant", "noise"])
def test_it_works_on_series_and_volumes(shape: tuple[int, ...], perturbation: str) -> None:
    x = inputs(2, shape=shape)
    model = model_of(nn.Sequential(nn.Flatten(), nn.Linear(x[0].numel(), 3)), shape)
    values = attribution(model, batch_of(x), name="meaningful_perturbation", perturbation=perturbation, steps=5)
    assert values.shape == (2, 1, *shape[1:])
    assert ((values >= 0) & (values <= 1)).all()


def test_a_unit_of_a_layer_is_a_target() -> None:
    model = model_of(net(), (1, 8, 8))
    of = batch_of(inputs(1), UnitTarget(layer="conv1", channel=2))
    info = explain(model, of, name="meaningful_perturbation", score="logit", steps=100).info[0]
    assert info["perturbed_score"] < info["score"]


def test_what_has_no_places_or_no_probability_is_refused() -> None:
    with pytest.raises(MethodNotApplicable, match="places"):
        parse_method("meaningful_perturbation").refuse(model_of(nn.Linear(4, 2), (4,)))
    value = model_of(nn.Sequential(nn.Flatten(), nn.Linear(64, 1)), (1, 8, 8), output="value")
    with pytest.raises(MethodNotApplicable, match="of which there is no probability"):
        parse_method("meaningful_perturbation").refuse(value)


# Trained models ------------------------------------------------------------------------------------------------------


def test_deleting_a_few_strokes_of_a_digit_takes_its_probability_away() -> None:
    model = load_model(read_folder(ROOT / "models" / "digits"))
    spec = model.card.input
    assert spec.image is not None
    files = [(ROOT / "examples" / f"{digit}.png").read_bytes() for digit in (3, 8)]
    x = torch.from_numpy(np.stack([prepare(file, spec.image, spec.shape)[0] for file in files]))
    result = explain(model, batch_of(x), name="meaningful_perturbation", steps=150)
    for mask, info in zip(result.arrays["attribution"], result.info, strict=True):
        assert info["score"] > 0.99
        assert info["perturbed_score"] < 0.05 * info["score"]
        assert float(mask.mean()) < 0.15


@needs_references
def test_on_squeezenet_a_small_part_blurred_takes_the_class_away() -> None:
    model = reference_model("squeezenet1_1")
    egret = next(path for path in photographs() if "egret" in path.name)
    result = explain(model, batch_of(prepared(model, [egret])), name="meaningful_perturbation", steps=40)
    info, mask = result.info[0], result.arrays["attribution"]
    assert info["perturbed_score"] < 0.05 * info["score"]
    assert float(mask.mean()) < 0.25
