"""lrp: every rule against a naive rewrite, and whole nets against stored relevance."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.toys import batch_of, inputs, model_of, net
from tests.workers.methods.gradient.gradient_runs import attribution, explain
from workers.engine.model.model import Model
from workers.explanation.errors import InvalidParameter, MethodNotApplicable
from workers.methods.catalogue import parse_method
from workers.methods.fields.composites import PRESETS

NEURON = torch.tensor([[2 * 1.0]])
A, W, C = (1.0, 2.0, 0.5), (0.8, -0.3, 1.0), 2.0


def neuron() -> Model:
    """One linear unit of the book's ch. 10, then a weight c, so that R_k = a_k * c."""
    first, second = nn.Linear(3, 1, bias=False), nn.Linear(1, 1, bias=False)
    first.weight.data, second.weight.data = torch.tensor([W]), torch.tensor([[C]])
    return model_of(nn.Sequential(first, second), (3,), dtype=torch.float64)


def relevance(rule: dict[str, object], model: Model, x: Tensor) -> Tensor:
    """The rule at layer 0, LRP-0 above."""
    table = [{"layers": "0", **rule}, {"rule": "zero"}]
    return attribution(model, batch_of(x, 0), name="lrp", composite=table)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"rule": "zero"}, (1.6, -1.2, 1.0)),
        ({"rule": "epsilon", "epsilon": 0.25}, (1.178947, -0.884211, 0.736842)),
        ({"rule": "gamma", "gamma": 0.25, "epsilon": 0}, (1.365854, -0.819512, 0.853659)),
    ],
)
def test_a_single_neuron_as_in_the_book(rule: dict[str, object], expected: tuple[float, ...]) -> None:
    """S4 ch. 10: a=(1,2,.5), w=(.8,-.3,1), R_k = 1.4."""
    found = relevance(rule, neuron(), torch.tensor([A], dtype=torch.float64))
    assert found[0].tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("rule", "x", "expected"),
    [
        ({"rule": "alpha_beta", "alpha": 2, "epsilon": 0}, A, (1.723077, -1.4, 1.076923)),
        ({"rule": "z_box", "low": 0, "high": 1, "epsilon": 0}, (0.2, 0.7, 0.1), (0.457143, 0.257143, 0.285714)),
        ({"rule": "w_square", "epsilon": 0}, A, (0.369942, 0.052023, 0.578035)),
        ({"rule": "flat", "epsilon": 0}, A, (1 / 3, 1 / 3, 1 / 3)),
    ],
)
def test_a_single_neuron_in_units_of_its_relevance(
    rule: dict[str, object], x: tuple[float, ...], expected: tuple[float, ...]
) -> None:
    """The same neuron with R_k scaled to the book's: alpha-beta at R_k = 1.4, the last three at R_k = 1."""
    model = neuron()
    inside = torch.tensor([x], dtype=torch.float64)
    found = relevance(rule, model, inside)
    scale = 1.4 if rule["rule"] == "alpha_beta" else 1.0
    assert (found[0] / model.forward(inside) * scale).view(-1).tolist() == pytest.approx(expected, abs=1e-6)


def naive(rule: dict[str, object], a: Tensor, w: Tensor, b: Tensor, r: Tensor) -> Tensor:
    """Each rule's formula, unit by unit and input by input, for a dense layer; float64."""
    eps = 1e-6
    z = w @ a + b
    found = torch.zeros_like(a)
    for k in range(len(r)):
        c = w[k] * a
        parts = {"z_plus": c.clamp(min=0), "plus": c.clamp(min=0), "minus": c.clamp(max=0)}
        plus, minus = parts["plus"].sum() + b[k].clamp(min=0), parts["minus"].sum() + b[k].clamp(max=0)
        match rule["rule"]:
            case "epsilon":
                found += c / (z[k] + eps * (1 if z[k] >= 0 else -1)) * r[k]
            case "z_plus":
                found += parts["plus"] / (plus + eps) * r[k]
            case "alpha_beta":
                found += (2 * parts["plus"] / (plus + eps) - parts["minus"] / (minus - eps)) * r[k]
            case "gamma":
                favoured = parts["plus"] if z[k] > 0 else parts["minus"]
                total = c.sum() + b[k] + 0.25 * (plus if z[k] > 0 else minus)
                found += (c + 0.25 * favoured) / (total + eps * (1 if total >= 0 else -1)) * r[k]
            case "flat":
                found += r[k] / (len(a) + eps)
            case "w_square":
                found += w[k] ** 2 / (w[k].square().sum() + eps) * r[k]
            case "z_box":
                box = c + 3 * w[k].clamp(min=0) - 3 * w[k].clamp(max=0)
                found += box / (box.sum() + eps) * r[k]
    return found


RULES = [
    {"rule": "epsilon"}, {"rule": "z_plus"}, {"rule": "alpha_beta", "alpha": 2}, {"rule": "gamma", "gamma": 0.25},
    {"rule": "flat"}, {"rule": "w_square"}, {"rule": "z_box", "low": -3, "high": 3},
]  # fmt: skip


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["rule"])
def test_each_rule_is_its_formula_on_a_dense_layer(rule: dict[str, object], positive: bool) -> None:
    """Inputs of either sign; with non-negative ones the rules take their shorter way."""
    torch.manual_seed(0)
    first, second = nn.Linear(6, 5).double(), nn.Linear(5, 2, bias=False).double()
    x = torch.randn(3, 6, dtype=torch.float64)
    x = x.abs() if positive else x
    model = model_of(nn.Sequential(first, second).float(), (6,), dtype=torch.float64)
    found = relevance(rule, model, x)
    w, b = (t.detach().double() for t in (first.weight, first.bias))
    top = second.weight[0].detach().double()
    for row in range(3):
        start = top * (w @ x[row] + b)
        torch.testing.assert_close(found[row], naive(rule, x[row], w, b, start), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["rule"])
def test_each_rule_is_its_formula_on_a_convolution(rule: dict[str, object]) -> None:
    """A strided, padded, grouped convolution written out as the dense layer it is."""
    torch.manual_seed(1)
    conv, top = nn.Conv1d(2, 4, 3, stride=2, padding=1, groups=2), nn.Linear(12, 1, bias=False)
    model = model_of(nn.Sequential(conv, nn.Flatten(), top), (2, 6), dtype=torch.float64)
    x = torch.randn(1, 2, 6, dtype=torch.float64)
    found = relevance(rule, model, x)
    conv64 = nn.Conv1d(2, 4, 3, stride=2, padding=1, groups=2).double()
    conv64.load_state_dict({k: v.double() for k, v in conv.state_dict().items()})
    assert conv64.bias is not None
    basis = torch.eye(12, dtype=torch.float64).view(12, 2, 6)
    w = (conv64(basis) - conv64.bias.view(1, 4, 1)).detach().flatten(1).T
    b = conv64.bias.detach().repeat_interleave(3)
    start = top.weight[0].detach().double() * conv64(x).detach().flatten()
    if rule["rule"] in ("flat", "w_square"):
        counted = {"flat": (w != 0).double(), "w_square": w.square()}[str(rule["rule"])]
        shares = counted / (counted.sum(1, keepdim=True) + 1e-6)
        expected = (shares * start.view(-1, 1)).sum(0)
    else:
        expected = naive(rule, x.flatten(), w, b, start)
    torch.testing.assert_close(found.flatten(), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("preset", ["zero", "epsilon", "alpha1_beta0", "epsilon_plus", "epsilon_plus_flat", "gamma"])
def test_relevance_is_conserved_without_biases(preset: str) -> None:
    model = model_of(net(bias=False, norm=False), (1, 8, 8), dtype=torch.float64)
    result = explain(model, batch_of(inputs(3).double().abs()), name="lrp", composite=preset)
    assert all(check.name == "conservation" and check.gap < 1e-3 for (check,) in result.checks)


def test_zero_is_input_times_gradient_without_biases() -> None:
    """S4 ch. 10, proposition 3."""
    model = model_of(net(bias=False, norm=False), (1, 8, 8), dtype=torch.float64)
    batch = batch_of(inputs(2).double())
    product = attribution(model, batch, name="input_times_gradient")
    found = attribution(model, batch, name="lrp", composite="zero")
    torch.testing.assert_close(found, product, rtol=1e-3, atol=1e-6)


class Functional(nn.Module):
    """The layers of a Net, called without modules of their own: hook libraries see no ReLU here."""

    def __init__(self, twin: nn.Module) -> None:
        super().__init__()
        self.twin = twin

    def forward(self, x: Tensor) -> Tensor:
        t = self.twin
        x = torch.relu(t.bn1(t.conv1(x)))  # type: ignore[operator]  # modules of the twin
        x = nn.functional.relu(t.conv2(x).add(x))  # type: ignore[operator]
        x = nn.functional.max_pool2d(x, 2)
        return nn.functional.linear(x.reshape(x.shape[0], -1), t.fc.weight, t.fc.bias)  # type: ignore[union-attr, arg-type]


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_functional_calls_are_explained_as_modules_are(preset: str) -> None:
    twin, x = net(), inputs(2)
    one, other = (model_of(m, (1, 8, 8), image=True) for m in (twin, Functional(twin)))
    left, right = (attribution(m, batch_of(x, 1), name="lrp", composite=preset) for m in (one, other))
    torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-5)


def test_the_rules_are_told_and_the_first_match_wins() -> None:
    model = model_of(net(), (1, 8, 8))
    table = [
        {"layers": "conv1", "rule": "flat"},
        {"ops": "convolution", "rule": "alpha_beta", "alpha": 2},
        {"rule": "epsilon"},
    ]
    rules = explain(model, batch_of(inputs(1)), name="lrp", composite=table).info[0]["rules"]
    assert rules["conv1"] == "flat"
    assert rules["conv2"] == "alpha_beta"
    assert rules["fc"] == "epsilon"
    assert rules["act"] == "pass"
    again = explain(model, batch_of(inputs(1)), name="lrp", composite=table).info[0]["rules"]
    assert again == rules  # Captum loses custom rules after the first call


def test_an_operation_without_a_rule_is_refused_by_name() -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cumprod(x, 1)

    with pytest.raises(MethodNotApplicable, match="cumprod"):
        parse_method("lrp").refuse(model_of(Odd(), (4,)))


def test_a_table_that_misses_a_layer_says_which() -> None:
    method = parse_method({"name": "lrp", "composite": [{"layers": "fc", "rule": "epsilon"}]})
    with pytest.raises(InvalidParameter, match="conv1"):
        method.refuse(model_of(net(), (1, 8, 8)))


def test_z_box_wants_a_range() -> None:
    with pytest.raises(InvalidParameter, match="low and high"):
        parse_method({"name": "lrp", "composite": "epsilon_gamma_box"}).refuse(model_of(net(), (1, 8, 8)))
