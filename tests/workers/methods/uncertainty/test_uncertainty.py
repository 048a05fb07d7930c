"""Uncertainty: dropout switched on, resampling, consensus, temperature and evidence against naive replicas."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from tests.toys import CHUNK, exported, inputs, model_of, net
from tests.workers.methods.uncertainty.uncertainty_runs import GXI, explained
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.card import InputSpec, ModelCard
from workers.explanation.errors import MethodNotApplicable
from workers.explanation.target import ClassTarget, RankTarget
from workers.methods.catalogue import parse_method
from workers.methods.uncertainty.mc_dropout.dropout_model import Stochastic
from workers.methods.uncertainty.mc_dropout.dropout_passes import uncertainty


def drawn(seed: int, samples: int) -> list[list[Tensor]]:
    """The masks of each sample, as one row draws them one after the other."""
    source = torch.Generator().manual_seed(seed)
    shapes = (((4, 1, 1), 0.3), ((6,), 0.5))
    return [[(torch.rand(s, generator=source) >= p) / (1 - p) for s, p in shapes] for _ in range(samples)]


class Dropping(nn.Module):
    """Dropout of whole channels, then of features beside a branch without any, then over a batch norm."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.channels = nn.Conv2d(1, 4, 3), nn.Dropout2d(0.3)
        self.fc1, self.features, self.norm, self.fc2 = (
            nn.Linear(144, 6),
            nn.Dropout(0.5),
            nn.BatchNorm1d(6),
            nn.Linear(6, 3),
        )
        assert self.norm.running_var is not None
        nn.init.uniform_(self.norm.running_var, 0.5, 2)
        self.masks: list[Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        drop = [self.channels, self.features] if self.masks is None else [mask.mul for mask in self.masks]
        h = torch.relu(drop[0](self.conv(x))).flatten(1)
        h = self.fc1(h)
        output: Tensor = self.fc2(self.norm(h + drop[1](h)))
        return output


def replica(module: Dropping, x: Tensor, masks: list[Tensor], target: int) -> tuple[Tensor, Tensor]:
    """Input times gradient and outputs of one sample, by the module itself."""
    module.masks = masks
    leaf = x.clone().requires_grad_()
    outputs = module(leaf)
    (slope,) = torch.autograd.grad(outputs[0, target], leaf)
    module.masks = None
    return (x * slope)[0], outputs[0].detach()


def test_mean_and_std_over_samples_are_those_of_the_net_with_the_same_masks() -> None:
    module, x = Dropping().eval(), inputs(2)
    model = model_of(module, (1, 8, 8))
    samples = 2 * CHUNK + 3
    rows = explained(model, "mc_dropout", x, 1, seeds=[5, 6], of=GXI, samples=samples)
    for row, (seed, image) in zip(rows, ((5, x[:1]), (6, x[1:])), strict=True):
        maps = torch.stack([replica(module, image, masks, 1)[0] for masks in drawn(seed, samples)])
        np.testing.assert_allclose(row.arrays["attribution"], maps.mean(0), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(row.arrays["std"], maps.std(0, correction=0), rtol=1e-4, atol=1e-5)
    assert rows[0].info["dropout"] == [{"layer": "channels", "rate": 0.3}, {"layer": "features", "rate": 0.5}]


@pytest.mark.parametrize("approach", ["predicted", "all"])
def test_by_class_as_the_seeds_loops(approach: str) -> None:
    """Approach 1: each sample's map goes to the class that it predicts; Algorithm 1: to every class its own."""
    module, x = Dropping().eval(), inputs(1, seed=3)
    model = model_of(module, (1, 8, 8))
    (row,) = explained(model, "mc_dropout", x, seeds=[9], of=GXI, samples=30, approach=approach)
    heatmaps, counts, said = torch.zeros(3, 1, 8, 8), [0, 0, 0], []
    for masks in drawn(9, 30):
        outputs = replica(module, x, masks, 0)[1]
        said.append(outputs)
        counts[int(outputs.argmax())] += 1
        for index in [int(outputs.argmax())] if approach == "predicted" else range(3):
            heatmaps[index] += replica(module, x, masks, index)[0]
    assert [told["predicted"] for told in row.info["classes"]] == counts
    assert sum(counts) == 30
    assert sorted(counts)[1] > 0
    shares = torch.tensor(counts if approach == "predicted" else [30] * 3).clamp(min=1)
    np.testing.assert_allclose(row.arrays["by_class"], heatmaps / shares.view(3, 1, 1, 1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(row.arrays["outputs"], torch.stack(said), rtol=1e-4, atol=1e-5)


def test_a_method_of_many_passes_keeps_one_draw_throughout() -> None:
    """Integrated gradients of one sample: complete with respect to the net of that very mask."""
    module, x = Dropping().eval(), inputs(1)
    model = model_of(module, (1, 8, 8))
    of = {"name": "integrated_gradients", "steps": 200}
    (row,) = explained(model, "mc_dropout", x, 2, seeds=[3], of=of, samples=1)
    (masks,) = drawn(3, 1)
    gap = replica(module, x, masks, 2)[1][2] - replica(module, torch.zeros_like(x), masks, 2)[1][2]
    assert row.arrays["attribution"].sum() == pytest.approx(float(gap), rel=0.02)
    assert not row.arrays["std"].any()


@pytest.mark.parametrize("of", [{"name": "lrp", "composite": "zero"}, {"name": "deep_lift"}])
def test_relevance_is_conserved_through_dropout(of: dict[str, str]) -> None:
    """A mask is a constant factor: each sample's map sums to its score, DeepLIFT's since f(0) = 0 (S3 3.1)."""
    module = net(bias=False, norm=False)
    model, x = model_of(module, (1, 8, 8)), inputs(1)
    (row,) = explained(model, "mc_dropout", x, seeds=[1], of=of, samples=50, approach="all")
    for told, heat in zip(row.info["classes"], row.arrays["by_class"], strict=True):
        assert heat.sum() == pytest.approx(told["mean"], rel=1e-3, abs=1e-4)


def test_the_served_net_stays_deterministic() -> None:
    model, x = model_of(net(), (1, 8, 8)), inputs(2)
    before = model.forward(x)
    explained(model, "mc_dropout", x, seeds=[1, 2], samples=3)
    assert torch.equal(model.forward(x), before)
    twin = Stochastic(model).twin([torch.Generator().manual_seed(0)])
    assert not torch.equal(twin.forward(x), before)


def test_without_dropout_it_is_refused_with_the_remedy() -> None:
    plain = model_of(nn.Sequential(nn.Flatten(), nn.Dropout(0.0), nn.Linear(64, 2)), (1, 8, 8))
    with pytest.raises(MethodNotApplicable, match=r"Export the net with its nn\.Dropout layers"):
        parse_method("mc_dropout").refuse(plain)
    folder = model_of(net(), (1, 8, 8)).spec
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        program = exported(net(), (1, 8, 8)).run_decompositions()
    decomposed = Model.from_program(folder, program, chunk=CHUNK)
    with pytest.raises(MethodNotApplicable, match="run_decompositions takes it out"):
        parse_method("mc_dropout").refuse(decomposed)
    with pytest.raises(ValidationError, match="predict makes none"):
        parse_method({"name": "mc_dropout", "of": "predict"})
    value = model_of(nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(64, 1)), (1, 8, 8), output="value")
    with pytest.raises(MethodNotApplicable, match="looking at each class"):
        parse_method({"name": "mc_dropout", "approach": "all"}).refuse(value)


@pytest.mark.parametrize(("output", "one", "even"), [("logits", 1, np.log(4)), ("multilabel", 2, 4 * np.log(2))])
def test_entropy_splits_into_what_the_model_and_what_the_data_leave_open(output: str, one: int, even: float) -> None:
    """Of classes that exclude each other the entropy is theirs; else the sum of each one's yes and no."""
    sure = torch.tensor([[60.0, -60.0], [-60.0, 60.0]], dtype=torch.float64)
    told = uncertainty(card_of(output, 2), sure)
    assert told == pytest.approx({"entropy": one * np.log(2), "mutual_information": one * np.log(2)}, abs=1e-9)
    told = uncertainty(card_of(output, 4), torch.zeros(5, 4).double())
    assert told == pytest.approx({"entropy": even, "mutual_information": 0}, abs=1e-9)


def test_a_lone_logit_has_the_entropy_of_its_yes_and_no_and_one_that_may_be_anything_has_none() -> None:
    z = torch.tensor([[60.0], [-60.0]], dtype=torch.float64)
    told = uncertainty(card_of("binary", 1), z)
    assert told == pytest.approx({"entropy": np.log(2), "mutual_information": np.log(2)}, abs=1e-9)
    assert uncertainty(card_of("probabilities", 1), z.sigmoid()) == pytest.approx(told, abs=1e-9)
    assert uncertainty(card_of("logits", 1), z) == uncertainty(card_of("value", 1), z) == {}


def card_of(output: str, classes: int) -> ModelCard:
    return ModelCard(name="toy", digest="", output=output, input=InputSpec(shape=(1,)), outputs=(classes,))


def test_targets_of_a_rank_stay_those_of_the_served_net() -> None:
    model, x = model_of(net(), (1, 8, 8)), inputs(1)
    index = int(model.forward(x)[0].argmax())
    by_rank, by_class = (
        parse_method({"name": "mc_dropout", "samples": 5}).explain(model, Batch(x, [target], [1])).rows()[0]
        for target in (RankTarget(rank=0), ClassTarget(index=index))
    )
    np.testing.assert_array_equal(by_rank.arrays["attribution"], by_class.arrays["attribution"])
