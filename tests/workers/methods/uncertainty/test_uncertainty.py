"""Uncertainty: dropout switched on, resampling, consensus, temperature and evidence against naive replicas."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from sklearn.metrics import log_loss
from torch import Tensor, nn

from tests.resources import InMemory, InMemoryDataset, in_memory, no_input
from tests.toys import CHUNK, batch_of, exported, inputs, model_of, net
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.card import InputSpec, ModelCard
from workers.explanation.errors import InvalidParameter, MethodNotApplicable
from workers.explanation.result import Attribution, Row
from workers.explanation.target import ClassTarget, RankTarget
from workers.methods.catalogue import parse_method
from workers.methods.uncertainty.mc_dropout.dropout_model import Stochastic
from workers.methods.uncertainty.mc_dropout.dropout_passes import uncertainty
from workers.methods.uncertainty.resampling.halves import Halved

GXI = "input_times_gradient"


def explained(
    model: Model, name: str, x: Tensor, target: int | None = None, seeds: Any = (), **fields: Any
) -> list[Row]:
    resources = fields.pop("resources", None) or in_memory(inputs(20, seed=4))
    method = parse_method({"name": name, **fields})
    method.refuse(model)
    return method.explain(model, batch_of(x, target, seeds=seeds, resources=resources)).rows()


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


def drawn(seed: int, samples: int) -> list[list[Tensor]]:
    """The masks of each sample, as one row draws them one after the other."""
    source = torch.Generator().manual_seed(seed)
    shapes = (((4, 1, 1), 0.3), ((6,), 0.5))
    return [[(torch.rand(s, generator=source) >= p) / (1 - p) for s, p in shapes] for _ in range(samples)]


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


def test_relevance_is_conserved_through_dropout() -> None:
    """A mask is a constant factor: LRP passes it by, and without biases each sample conserves its score."""
    module = net(bias=False, norm=False)
    model, x = model_of(module, (1, 8, 8)), inputs(1)
    of = {"name": "lrp", "composite": "zero"}
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


def test_over_models_mean_std_and_effect_are_those_of_their_maps() -> None:
    models = [model_of(net(seed), (1, 8, 8)) for seed in range(3)]
    resources = in_memory(inputs(4))
    resources.models |= {"second": models[1], "third": models[2]}
    x = inputs(2)
    rows = explained(models[0], "resampling", x, 1, of=GXI, models=["second", "third"], resources=resources)
    maps = np.stack([[row.arrays["attribution"] for row in explained(m, GXI, x, 1)] for m in models])
    for at, row in enumerate(rows):
        mean, std = maps[:, at].mean(0), maps[:, at].std(0, ddof=1)
        np.testing.assert_allclose(row.arrays["attribution"], mean, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(row.arrays["std"], std, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(row.arrays["effect"], mean / std, rtol=1e-3)
        pairs = np.corrcoef(maps[:, at].reshape(3, -1))[np.triu_indices(3, 1)]
        assert row.info["correlation"] == pytest.approx(pairs.mean(), rel=1e-4)
    resources.models["other"] = model_of(nn.Linear(4, 2), (4,))
    with pytest.raises(InvalidParameter, match=r"takes \[4\] and returns \[2\]"):
        explained(models[0], "resampling", x, 1, of=GXI, models=["other"], resources=resources)


def test_halves_share_no_item_and_make_up_the_whole() -> None:
    labels = np.arange(11)
    resources = InMemory({"d": InMemoryDataset(inputs(11), labels)})
    first, second = (Halved(resources, 7, which).dataset("d") for which in (False, True))
    found = [np.concatenate([items.labels for items in half.batches(3)]) for half in (first, second)]
    assert (first.count, second.count) == (5, 6) == tuple(map(len, found))
    assert sorted(np.concatenate(found)) == labels.tolist()
    for start in range(6):
        tail = list(second.batches(3, start))
        assert tail[0].start == start
        np.testing.assert_array_equal(np.concatenate([items.labels for items in tail]), found[1][start:])


def test_the_variance_of_split_halves_is_that_of_a_fit_on_half_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """A method that says the mean of its data: its variance over halves is known, sigma^2 / (n / 2)."""
    data = torch.randn(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    method = parse_method({"name": "resampling", "of": "pattern_attribution", "splits": 200})

    def learned(_: Any, model: Model, batch: Batch) -> Attribution:
        seen = torch.cat([items.x for items in batch.resources.dataset("training").batches(8)])
        return Attribution({"attribution": seen.mean(0).expand(len(batch), 1, 8, 8)})

    monkeypatch.setattr(type(method.inner()[0]), "explain", learned)
    resources = in_memory(data)
    (row,) = method.explain(model_of(net(), (1, 8, 8)), batch_of(inputs(1), 0, resources=resources)).rows()
    np.testing.assert_allclose(row.arrays["attribution"], data.mean(0), atol=1e-6)
    # of a finite dataset without replacement: sigma^2 * 2 / n, sigma^2 with n - 1
    expected = data.var(0) * 2 / 40
    assert np.square(row.arrays["std"]).mean() == pytest.approx(float(expected.mean()), rel=0.05)


def test_halves_tell_nothing_of_a_method_that_learns_from_no_data() -> None:
    with pytest.raises(InvalidParameter, match="looks at no dataset"):
        explained(model_of(net(), (1, 8, 8)), "resampling", inputs(1), 0, of=GXI)


def test_halves_of_patterns_run_and_depend_on_the_seed_alone() -> None:
    model, x = model_of(net(norm=False), (1, 8, 8)), inputs(2)
    together = explained(model, "resampling", x, 1, seeds=[1, 2], splits=2)
    alone = explained(model, "resampling", x[1:], 1, seeds=[2], splits=2)
    np.testing.assert_allclose(together[1].arrays["std"], alone[0].arrays["std"], rtol=1e-4, atol=1e-7)
    assert together[0].arrays["std"].max() > 0


def test_consensus_is_the_mean_of_ranks_whatever_the_scales() -> None:
    model, x = model_of(net(), (1, 8, 8)), inputs(1)
    names = ["gradient", GXI, "occlusion"]
    maps = [explained(model, name, x, 1)[0].arrays["attribution"] for name in names]
    for by in ("size", "value"):
        ranks = []
        for heat in maps:
            flat = (np.abs(heat) if by == "size" else heat).ravel()
            ranks.append([((flat < v).sum() + (flat == v).sum() / 2) / flat.size for v in flat])
        (row,) = explained(model, "consensus", x, 1, of=names, by=by)
        np.testing.assert_allclose(row.arrays["attribution"].ravel(), np.mean(ranks, 0), atol=1e-6)
        np.testing.assert_allclose(row.arrays["std"].ravel(), np.std(ranks, 0), atol=1e-6)
        np.testing.assert_allclose(row.info["correlation"], np.corrcoef(ranks), atol=1e-6)
    assert row.info["methods"] == names
    same = explained(model, "consensus", x, 1, of=[GXI, GXI])[0]
    assert not same.arrays["std"].any()


def test_consensus_of_maps_with_and_without_channels_is_over_places() -> None:
    torch.manual_seed(0)
    model = model_of(
        nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(128, 2)), (3, 8, 8)
    )
    (row,) = explained(model, "consensus", inputs(1, shape=(3, 8, 8)), of=["gradient", "grad_cam"])
    assert row.arrays["attribution"].shape == (1, 8, 8)


def logits_and_labels(temperature: float) -> tuple[Tensor, NDArray[np.int64]]:
    """Labels drawn as a calibrated model would have them, whose logits are `temperature` times too large."""
    drawn = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0)) * 2
    source = torch.Generator().manual_seed(1)
    labels = torch.multinomial(drawn.softmax(1), 1, generator=source)[:, 0]
    return drawn * temperature, labels.numpy()


class Given(nn.Module):
    """Returns its input, in as many rectifications as the laws of export ask for: none."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 1.0


def calibrated(model: Model, x: Tensor, labels: NDArray[np.int64] | None, **fields: Any) -> Row:
    method = parse_method({"name": "temperature", **fields})
    method.refuse(model)
    return method.explain(model, no_input(model, in_memory(x, labels))).rows()[0]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_was_planted_is_found(temperature: float) -> None:
    logits, labels = logits_and_labels(temperature)
    row = calibrated(model_of(Given(), (3,)), logits, labels)
    assert row.arrays["scores"] == pytest.approx(temperature, rel=0.06)
    assert row.info["after"]["ece"] < 0.03
    assert row.info["after"]["ece"] <= row.info["before"]["ece"] + 1e-3
    assert row.info["before"]["nll"] == pytest.approx(log_loss(labels, logits.double().softmax(1).numpy()), rel=1e-4)
    assert row.arrays["before"][:, 2].sum() == 4000
    slope = [
        log_loss(labels, (logits.double() / t).softmax(1).numpy()) - row.info["after"]["nll"]
        for t in (row.info["temperature"] * 0.97, row.info["temperature"] * 1.03)
    ]
    assert min(slope) > 0


def test_ece_by_hand() -> None:
    """Two bins: confident 0.9 and right half the time (4 items), confident 0.6 and always right (2 items)."""
    chances = torch.tensor([[0.9, 0.1]] * 4 + [[0.6, 0.4]] * 2)
    labels = np.array([0, 1, 0, 1, 0, 0])
    row = calibrated(model_of(Given(), (2,), output="probabilities"), chances, labels, bins=10)
    assert row.info["before"]["ece"] == pytest.approx((4 * 0.4 + 2 * 0.4) / 6, abs=1e-6)
    np.testing.assert_allclose(row.arrays["before"][[9, 6]], [[0.9, 0.5, 4], [0.6, 1.0, 2]], atol=1e-6)


def test_calibration_needs_labels_and_classes() -> None:
    with pytest.raises(InvalidParameter, match="has no labels"):
        calibrated(model_of(Given(), (3,)), inputs(4, shape=(3,)), None)
    with pytest.raises(InvalidParameter, match="item 1 of the dataset has the label 5"):
        calibrated(model_of(Given(), (3,)), inputs(4, shape=(3,)), np.array([0, 5, 1, 2]))
    with pytest.raises(MethodNotApplicable, match="the output of toy is value"):
        calibrated(model_of(nn.Linear(3, 1), (3,), output="value"), inputs(4, shape=(3,)), np.zeros(4, np.int64))


def test_evidence_of_nine_for_one_of_three() -> None:
    """TRUTHS 7: e = (9, 0, 0) has S = 12, b = (.75, 0, 0), u = .25, p = (.8333, .0833, .0833)."""
    model = model_of(Given(), (3,), output="evidence")
    x = torch.tensor([[9.0, 0, 0], [0, 0, 0], [2.0, -1.0, 3.0]])
    rows = parse_method("evidence").explain(model, Batch(x, [RankTarget(rank=0)] * 3)).rows()
    np.testing.assert_allclose(rows[0].arrays["scores"], [0.75, 0, 0])
    np.testing.assert_allclose(rows[0].arrays["probability"], [10 / 12, 1 / 12, 1 / 12], rtol=1e-6)
    beta = torch.distributions.Dirichlet(torch.tensor([10.0, 1.0, 1.0]))
    np.testing.assert_allclose(rows[0].arrays["std"], beta.variance.sqrt(), rtol=1e-5)
    assert (rows[0].info["strength"], rows[0].info["uncertainty"]) == (12, 0.25)
    assert rows[1].info["uncertainty"] == 1
    np.testing.assert_allclose(rows[2].arrays["scores"], [2 / 8, 0, 3 / 8])
    assert [told["index"] for told in rows[2].info["classes"]] == [2, 0, 1]
    assert all(row.checks[0].gap < 1e-6 for row in rows)
    with pytest.raises(MethodNotApplicable, match='output = "evidence"'):
        parse_method("evidence").refuse(model_of(Given(), (3,)))


def test_targets_of_a_rank_stay_those_of_the_served_net() -> None:
    model, x = model_of(net(), (1, 8, 8)), inputs(1)
    index = int(model.forward(x)[0].argmax())
    by_rank, by_class = (
        parse_method({"name": "mc_dropout", "samples": 5}).explain(model, Batch(x, [target], [1])).rows()[0]
        for target in (RankTarget(rank=0), ClassTarget(index=index))
    )
    np.testing.assert_array_equal(by_rank.arrays["attribution"], by_class.arrays["attribution"])
