"""The walks back along patterns: PatternNet and PatternAttribution."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.resources import in_memory
from tests.toys import batch_of, inputs, model_of, net
from tests.workers.methods.gradient.gradient_runs import attribution, explain
from tests.workers.methods.pattern.pattern_toys import Kept, fitted
from workers.engine.model.model import Model
from workers.explanation.errors import MethodNotApplicable
from workers.methods.catalogue import parse_method

# The walks ------------------------------------------------------------------------------------------------------------


def weights_as_patterns(model: Model) -> dict[str, Tensor]:
    weighted = {f"{n.layer}.pattern": n.args[1] for n in model.folded.nodes if n.op in ("conv2d", "linear")}
    return weighted | {f"{n.layer}.pattern": torch.ones(2, 4) for n in model.folded.nodes if n.op == "add"}


def test_with_weights_for_patterns_pattern_net_is_the_gradient() -> None:
    model, x = model_of(net(), (1, 8, 8), dtype=torch.float64), inputs(3).double()
    found = attribution(model, batch_of(x, 1, resources=Kept(weights_as_patterns(model))), name="pattern_net")
    gradient = attribution(model, batch_of(x, 1), name="gradient")
    torch.testing.assert_close(found, gradient * model.forward(x)[:, 1].view(-1, 1, 1, 1), rtol=1e-10, atol=1e-12)


def mlp() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 7), nn.ReLU(), nn.Linear(7, 3))


@pytest.mark.parametrize("weigh", [False, True])
def test_the_walks_are_those_of_the_appendix_rewritten_naively(weigh: bool) -> None:
    """A.2.3 and A.3.3, unit by unit; where the score is negative the last layer uses the negative pattern (eq. 5)."""
    module, x = mlp().double(), inputs(6, shape=(6,)).double()
    model, data = model_of(mlp(), (6,), dtype=torch.float64), inputs(200, seed=4, shape=(6,)).double()
    patterns = fitted(model, data)
    name = "pattern_attribution" if weigh else "pattern_net"
    found = attribution(model, batch_of(x, 2, resources=Kept(patterns)), name=name)
    scores = model.forward(x)[:, 2]
    assert (scores > 0).any()
    assert (scores < 0).any()
    for row in range(6):
        activity = [module[:i](x[row : row + 1])[0] for i in (1, 3, 5)]
        signal = torch.zeros(3, dtype=torch.float64)
        signal[2] = scores[row]
        for layer, v in zip((4, 2, 0), reversed(activity), strict=True):
            weight: Tensor = module[layer].get_parameter("weight").detach()
            below = torch.zeros(weight.shape[1], dtype=torch.float64)
            for unit, value in enumerate(signal):
                a = patterns[f"{layer}.{'positive' if v[unit] > 0 else 'negative'}"][unit]
                below += (weight[unit] * a if weigh else a) * value
            gate = activity[layer // 2 - 1] > 0 if layer else torch.ones(6)
            signal = below * gate
        torch.testing.assert_close(found[row], signal, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["pattern_net", "pattern_attribution"])
@pytest.mark.parametrize("estimator", ["two_component", "linear", "filter"])
def test_a_shift_of_the_input_that_the_bias_undoes_changes_nothing(name: str, estimator: str) -> None:
    """S4 Fig. 14.2 and 14.3; even with the patterns fitted anew on the shifted data."""
    shift, x = torch.linspace(-1, 2, 6, dtype=torch.float64), inputs(4, shape=(6,)).double()
    one, data = mlp().double(), inputs(100, seed=4, shape=(6,)).double()
    other = mlp().double()
    other[0].get_parameter("bias").data -= one[0].get_parameter("weight").detach() @ shift
    found = []
    for module, moved in ((one, 0 * shift), (other, shift)):
        model = model_of(module, (6,), dtype=torch.float64)
        patterns = fitted(model, data + moved, estimator=estimator)
        found.append(attribution(model, batch_of(x + moved, 0, resources=Kept(patterns)), name=name))
    torch.testing.assert_close(found[0], found[1], rtol=1e-9, atol=1e-11)
    assert found[0].any()


def test_the_identity_estimator_makes_the_whole_input_signal() -> None:
    """S2 4.2: the z rule without biases, which on a bias-free ReLU net is input times gradient."""
    model, x = model_of(net(bias=False, norm=False), (1, 8, 8), dtype=torch.float64), inputs(2).double()
    batch = batch_of(x, 1, resources=in_memory(inputs(4).double()))
    patterns = {"name": "pattern_fit", "estimator": "identity"}
    found = attribution(model, batch, name="pattern_attribution", patterns=patterns)
    torch.testing.assert_close(found, attribution(model, batch, name="input_times_gradient"), rtol=1e-4, atol=1e-6)
    linear = model_of(nn.Linear(5, 2), (5,), dtype=torch.float64)
    x = inputs(2, shape=(5,)).double()
    result = explain(linear, batch_of(x, 0, resources=in_memory(x)), name="pattern_net", patterns=patterns)
    y = x @ linear.folded.nodes[-1].args[1][0]
    ours = x * (linear.forward(x)[:, 0] / y)[:, None]
    torch.testing.assert_close(result.arrays["attribution"], ours, rtol=1e-6, atol=1e-8)


def test_sums_do_not_double_relevance() -> None:
    """Each summand gets its part: what leaves the sum is what reached it."""
    model, batch = model_of(net(), (1, 8, 8)), batch_of(inputs(2), 1, resources=in_memory(inputs(64, seed=3)))
    result = explain(model, batch, name="pattern_attribution")
    layers = {entry["layer"]: entry for entry in result.info[0]["layers"]}
    assert layers["fc"]["handed"] == pytest.approx(layers["fc"]["given"], rel=1e-4)  # a dense layer keeps all of it


def test_what_is_no_linear_neuron_is_refused_by_name() -> None:
    for module, name in ((nn.GELU(), "gelu at 1 "), (nn.Softmax(1), "softmax at 1 ")):
        model = model_of(nn.Sequential(nn.Linear(6, 4), module, nn.Linear(4, 2)), (6,))
        for method in ("pattern_fit", "pattern_net", "pattern_attribution", "signal_quality"):
            with pytest.raises(MethodNotApplicable, match=name):
                parse_method(method).refuse(model)
