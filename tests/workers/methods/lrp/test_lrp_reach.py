"""lrp from any start to any layer: log-odds, hidden units, layers, conditional relevance, and where it was lost."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tests.references import SHARED, needs_references
from tests.toys import batch_of, inputs, model_of, net
from tests.workers.methods.gradient.gradient_runs import attribution, explain
from workers.engine.model.model import Model
from workers.explanation.errors import InvalidParameter, MethodNotApplicable
from workers.explanation.target import UnitTarget, ValueTarget
from workers.methods.catalogue import parse_method


def test_log_odds_sum_to_themselves_and_the_entropy_of_the_rest() -> None:
    """S4 10.3.1 with the logits (2, 1, 0): 0.6867383 + 0.5822031."""
    identity = nn.Linear(3, 3, bias=False)
    identity.weight.data = torch.eye(3)
    model = model_of(identity, (3,), dtype=torch.float64)
    batch = batch_of(torch.tensor([[2.0, 1.0, 0.0]], dtype=torch.float64), 0)
    result = explain(model, batch, name="lrp", composite="zero", head="log_odds")
    assert result.checks[0][0].expected == pytest.approx(1.2689414, abs=1e-6)
    assert result.checks[0][0].gap < 1e-6
    assert result.arrays["attribution"][0].tolist() == pytest.approx([2.0, -0.7310586, 0.0], abs=1e-6)


def test_log_odds_are_the_pooled_differences_of_the_book() -> None:
    """R_j = sum over c' of a_j (w_jc - w_jc') p_c', written out class by class."""
    torch.manual_seed(0)
    linear, x = nn.Linear(5, 4), torch.randn(1, 5, dtype=torch.float64)
    model = model_of(linear, (5,), dtype=torch.float64)
    found = attribution(model, batch_of(x, 2), name="lrp", composite="zero", head="log_odds")
    w, z = linear.weight.detach().double(), model.forward(x)[0]
    others = [c for c in range(4) if c != 2]
    p = torch.softmax(z[others], 0)
    bias = linear.bias.detach().double()
    expected = sum(x[0] * (w[2] * z[2] / z[2] - w[c] * z[c] / z[c]) * p[i] for i, c in enumerate(others))
    assert isinstance(expected, Tensor)
    torch.testing.assert_close(found[0], expected, rtol=1e-6, atol=1e-8)
    assert bias.abs().max() > 0  # what it takes away is not in the inputs' relevance


def test_log_odds_want_logits() -> None:
    with pytest.raises(MethodNotApplicable, match="logits"):
        parse_method({"name": "lrp", "head": "log_odds"}).refuse(model_of(nn.Linear(3, 1), (3,), output="value"))


def test_relevance_can_be_read_at_any_layer_and_is_conserved_there() -> None:
    model = model_of(net(bias=False, norm=False), (1, 8, 8), dtype=torch.float64)
    batch = batch_of(inputs(2).double())
    for layer, shape in (("conv1", (4, 8, 8)), ("pool", (4, 4, 4)), ("fc", (3,)), ("input", (1, 8, 8))):
        result = explain(model, batch, name="lrp", composite="epsilon", to=layer)
        assert result.arrays["attribution"].shape == (2, *shape)
        assert all(check.gap < 1e-3 for (check,) in result.checks)


def test_a_hidden_unit_is_explained_from_its_own_value() -> None:
    model = model_of(net(bias=False, norm=False), (1, 8, 8), dtype=torch.float64)
    result = explain(
        model, batch_of(inputs(2).double(), UnitTarget(layer="conv2", index=(1, 3, 3))), name="lrp", composite="epsilon"
    )
    assert all(check.gap < 1e-3 for (check,) in result.checks)
    seen = (result.arrays["attribution"] != 0).double().mean()
    assert 0 < float(seen) <= 25 / 64  # two 3x3 convolutions see 5x5


def test_the_relevance_of_single_channels_adds_up() -> None:
    model, batch = model_of(net(), (1, 8, 8), dtype=torch.float64), batch_of(inputs(2).double())
    whole = attribution(model, batch, name="lrp", composite="epsilon")
    parts = [
        attribution(model, batch, name="lrp", composite="epsilon", units=[{"layer": "conv1", "channels": [c]}])
        for c in range(4)
    ]
    torch.testing.assert_close(torch.stack(parts).sum(0), whole)
    nothing = attribution(model, batch, name="lrp", composite="epsilon", units=[{"layer": "conv1", "channels": []}])
    assert not nothing.any()


def test_units_beyond_the_layer_are_refused() -> None:
    model = model_of(net(), (1, 8, 8))
    with pytest.raises(InvalidParameter, match="0 to 3"):
        parse_method({"name": "lrp", "units": [{"layer": "conv1", "channels": [4]}]}).refuse(model)
    with pytest.raises(InvalidParameter, match="no layer"):
        parse_method({"name": "lrp", "to": "nowhere"}).refuse(model)


def test_every_layer_says_what_it_was_given_and_what_it_handed_on() -> None:
    model, batch = model_of(net(), (1, 8, 8), dtype=torch.float64), batch_of(inputs(2).double())
    result = explain(model, batch, name="lrp", composite="epsilon")
    layers = result.info[1]["layers"]
    assert [entry["layer"] for entry in layers] == ["fc", "conv2", "conv1"]
    assert layers[0]["given"] == pytest.approx(result.checks[1][0].expected)
    assert layers[-1]["handed"] == pytest.approx(result.checks[1][0].observed)
    fc, score = model.folded.find("fc"), layers[0]["given"]
    assert fc is not None
    target = model.resolve(batch)[1]
    assert target.kind == "class"
    kept = score - float(fc.args[2][target.index])
    assert layers[0]["handed"] == pytest.approx(kept * score / (score + 1e-6 * np.sign(score)), rel=1e-5)


class FashionNet(nn.Module):
    """The net of the stored conditional relevances: two branches, each with its batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16)
        self.conv2, self.bn2 = nn.Conv2d(16, 16, 3, stride=2), nn.BatchNorm2d(16)
        self.parallel = nn.Sequential(nn.Conv2d(1, 16, 5, stride=2, bias=False), nn.BatchNorm2d(16))
        self.linear1, self.linear2 = nn.Linear(576, 120), nn.Linear(120, 10)

    def forward(self, x: Tensor) -> Tensor:
        main = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        x = nn.functional.max_pool2d(torch.relu(main + self.parallel(x)), 2).flatten(1)
        output: Tensor = self.linear2(torch.relu(self.linear1(x)))
        return output


@pytest.fixture(scope="module")
def fashion() -> Model:
    module = FashionNet()
    module.load_state_dict(load_file(SHARED / "data" / "crp_fashionmnist" / "fashion_cnn.safetensors"), strict=False)
    return model_of(module, (1, 28, 28), low=0.0, high=1.0)


CONDITIONS: list[list[dict[str, object]]] = [
    [],
    [{"layer": "conv2", "channels": []}],
    [{"layer": "conv2", "channels": [2]}],
    [{"layer": "parallel.0", "channels": []}],
    [{"layer": "parallel.0", "channels": []}, {"layer": "conv2", "channels": [1, 2, 3]}],
]


@needs_references
@pytest.mark.parametrize("which", range(5))
def test_conditional_relevance_is_that_of_the_authors_of_crp(fashion: Model, which: int) -> None:
    data = SHARED / "data" / "crp_fashionmnist"
    stored = np.load(data / "crp_reference.npz")
    validation = np.load(data / "fashion_val.npz")
    x = torch.from_numpy(validation["images"][:1, None]).float() / 255
    batch = batch_of(x, int(validation["labels"][0]))
    for to, key in (("input", "cond_heatmaps"), ("conv1", "cond_conv1_relevances")):
        found = attribution(fashion, batch, name="lrp", composite="epsilon_plus", to=to, units=CONDITIONS[which])
        sign = torch.sign(fashion.forward(x)[0, validation["labels"][0]])  # they start from the logit's size
        expected = stored[key][which]
        np.testing.assert_allclose((found[0] * sign).numpy().reshape(expected.shape), expected, rtol=0, atol=2e-5)


@needs_references
def test_every_channel_of_the_crp_reference(fashion: Model) -> None:
    data = SHARED / "data" / "crp_fashionmnist"
    stored, validation = np.load(data / "crp_reference.npz"), np.load(data / "fashion_val.npz")
    x = torch.from_numpy(validation["images"][:1, None]).float() / 255
    batch = batch_of(x, int(validation["labels"][0]))
    sign = float(torch.sign(fashion.forward(x)[0, validation["labels"][0]]))
    for channel in range(16):
        units = [{"layer": "parallel.0", "channels": []}, {"layer": "conv2", "channels": [channel]}]
        found = attribution(fashion, batch, name="lrp", composite="epsilon_plus", units=units)
        expected = stored["channel_heatmaps"][channel]
        np.testing.assert_allclose(found[0].numpy().reshape(expected.shape) * sign, expected, rtol=0, atol=2e-5)


def test_a_layer_is_told_the_sum_of_magnitudes_that_it_is_given() -> None:
    """S4 l.4615: relevance (20, -19) sums to 1, and its magnitudes to 39."""
    first, last = nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False)
    first.weight.data, last.weight.data = torch.eye(2), torch.tensor([[20.0, -19.0]])
    model = model_of(nn.Sequential(first, last), (2,), output="value", dtype=torch.float64)
    batch = batch_of(torch.ones(1, 2, dtype=torch.float64), ValueTarget())
    told = {one["layer"]: one for one in explain(model, batch, name="lrp", composite="zero").info[0]["layers"]}
    assert [told[layer]["given"] for layer in ("1", "0")] == [1.0, 1.0]
    assert [told[layer]["absolute"] for layer in ("1", "0")] == [1.0, 39.0]
