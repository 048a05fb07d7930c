"""gradient, input_times_gradient, integrated_gradients and smooth_grad hold to their formulas."""

from __future__ import annotations

import pytest
import torch
from captum.attr import InputXGradient, IntegratedGradients, Saliency
from torch import Tensor, nn

from tests.references import needs_references, photographs, prepared, reference_model
from tests.toys import batch_of, inputs, model_of, net
from tests.workers.methods.gradient.gradient_runs import attribution, explain
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.errors import InvalidParameter
from workers.explanation.target import UnitTarget, ValueTarget
from workers.methods.gradient.integrated_gradients.compute import nodes_and_weights


class Function(nn.Module):
    """A function of two numbers, to be explained as a model with one output value."""

    def __init__(self, function: object) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        value: Tensor = self.function(x[:, 0], x[:, 1])  # type: ignore[operator]  # any function of two tensors
        return value[:, None]


def function(f: object, dtype: torch.dtype = torch.float64) -> Model:
    return model_of(Function(f), (2,), dtype=dtype, output="value")


def at(*values: float) -> Batch:
    return batch_of(torch.tensor([values], dtype=torch.float64), ValueTarget())


def test_gradient_is_the_finite_difference() -> None:
    model, x = model_of(net(), (1, 8, 8), dtype=torch.float64), inputs(1).double()
    values = attribution(model, batch_of(x, 1), name="gradient")
    step = 1e-6
    for row, column in ((0, 0), (3, 5), (7, 7)):
        moved = x.clone()
        moved[0, 0, row, column] += step
        slope = (model.forward(moved) - model.forward(x))[0, 1] / step
        assert float(values[0, 0, row, column]) == pytest.approx(float(slope), abs=1e-5)


@pytest.mark.parametrize("target", [0, 1, 2])
def test_gradient_and_its_product_equal_captums(target: int) -> None:
    module, x = net(), inputs(3)
    model, batch = model_of(module, (1, 8, 8)), batch_of(inputs(3), target)
    saliency = Saliency(module).attribute(x.clone().requires_grad_(), target=target, abs=True)
    torch.testing.assert_close(attribution(model, batch, name="gradient", reduce="abs"), saliency, rtol=1e-4, atol=1e-6)
    product = InputXGradient(module).attribute(x.clone().requires_grad_(), target=target)
    torch.testing.assert_close(attribution(model, batch, name="input_times_gradient"), product, rtol=1e-4, atol=1e-6)


def test_gradient_reduces_as_asked() -> None:
    model, batch = model_of(net(), (1, 8, 8)), batch_of(inputs(1), 0)
    plain = attribution(model, batch, name="gradient")
    torch.testing.assert_close(attribution(model, batch, name="gradient", reduce="square"), plain.square())
    assert (plain < 0).any()


def test_each_row_is_explained_for_its_own_target() -> None:
    """TorchServe's Captum handler explained one target for a whole batch."""
    model, x = model_of(net(), (1, 8, 8)), inputs(1).repeat(3, 1, 1, 1)
    each = [batch_of(x[:1], k) for k in range(3)]
    mixed = Batch(x, [batch.targets[0] for batch in each])
    together = attribution(model, mixed, name="gradient")
    for row, batch in enumerate(each):
        torch.testing.assert_close(together[row : row + 1], attribution(model, batch, name="gradient"))
    assert not torch.allclose(together[0], together[1])


def test_a_unit_of_a_hidden_layer_is_a_target() -> None:
    module, x = net(norm=False), inputs(2)
    model = model_of(module, (1, 8, 8))
    channel = attribution(model, batch_of(x, UnitTarget(layer="conv1", channel=2)), name="gradient")
    leaf = x.clone().requires_grad_()
    expected = torch.autograd.grad(module.conv1(leaf)[:, 2].sum(), leaf)[0]
    torch.testing.assert_close(channel, expected)
    unit = attribution(model, batch_of(x, UnitTarget(layer="conv1", index=(2, 4, 4))), name="gradient")
    assert int((unit != 0).sum()) == 2 * 9


def test_input_times_gradient_is_complete_without_biases() -> None:
    model = model_of(net(bias=False, norm=False), (1, 8, 8), dtype=torch.float64)
    result = explain(model, batch_of(inputs(3).double()), name="input_times_gradient")
    assert all(check.name == "completeness" and check.gap < 1e-10 for (check,) in result.checks)


def test_closed_forms_of_the_book() -> None:
    """S4 ch. 9: a linear function, and x1 + sqrt(x2) with its integrated gradients."""
    line = function(lambda a, b: 1.05 * a + 1.5 * b)
    assert attribution(line, at(1e5, 1e4), name="gradient").tolist() == [[pytest.approx(1.05), pytest.approx(1.5)]]
    product = attribution(line, at(1e5, 1e4), name="input_times_gradient")
    assert product.tolist() == [[pytest.approx(105000), pytest.approx(15000)]]
    root = function(lambda a, b: a + b.sqrt())
    assert attribution(root, at(4, 4), name="input_times_gradient").tolist() == [[pytest.approx(4), pytest.approx(1)]]
    integrated = attribution(root, at(4, 4), name="integrated_gradients", steps=500)
    assert integrated.tolist() == [[pytest.approx(4), pytest.approx(1.99826, abs=1e-3)]]


def test_integrated_gradients_where_the_path_meets_a_kink() -> None:
    """h = relu(x1 - 1) * relu(x2) at (2, 2): (1.5, 0.5), S4 ch. 9."""
    model = function(lambda a, b: torch.relu(a - 1) * torch.relu(b))
    result = explain(model, at(2, 2), name="integrated_gradients", steps=2000)
    assert result.arrays["attribution"].tolist() == [[pytest.approx(1.5, abs=1e-3), pytest.approx(0.5, abs=1e-3)]]
    assert result.checks[0][0].expected == pytest.approx(2)


@pytest.mark.parametrize(
    ("rule", "theirs"),
    [("gauss_legendre", "gausslegendre"), ("midpoint", "riemann_middle"), ("right", "riemann_right")],
)
def test_integrated_gradients_equal_captums(rule: str, theirs: str) -> None:
    module, x = net(), inputs(2)
    expected = IntegratedGradients(module).attribute(x, x * 0, target=1, n_steps=20, method=theirs)
    values = attribution(model_of(module, (1, 8, 8)), batch_of(x, 1), name="integrated_gradients", steps=20, rule=rule)
    torch.testing.assert_close(values, expected.float(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rule", ["gauss_legendre", "midpoint", "right"])
def test_the_weights_of_a_rule_sum_to_one(rule: str) -> None:
    """Captum's trapezoid rule sums to (n - 1) / n and shrinks every attribution."""
    for steps in (1, 2, 7, 50):
        nodes, weights = nodes_and_weights(rule, steps)
        assert float(weights.sum()) == pytest.approx(1)
        assert ((nodes > 0) & (nodes <= 1)).all()


def test_tolerance_doubles_the_steps_of_the_rows_that_need_it() -> None:
    model = function(lambda a, b: torch.relu(a - 1) * torch.relu(b))
    x = torch.tensor([[2.0, 2.0], [0.5, 2.0]], dtype=torch.float64)
    method = {"name": "integrated_gradients", "steps": 4, "tolerance": 1e-3}
    result = explain(model, batch_of(x, ValueTarget()), **method)
    assert result.checks[0][0].gap <= 1e-3
    assert result.info[0]["steps"] > 4
    assert result.info[1]["steps"] == 4
    alone = explain(model, batch_of(x[:1], ValueTarget()), **method)
    torch.testing.assert_close(alone.arrays["attribution"][0], result.arrays["attribution"][0])
    capped = explain(model, batch_of(x[:1], ValueTarget()), **{**method, "tolerance": 1e-9, "max_steps": 16})
    assert capped.info[0]["steps"] == 16


@pytest.mark.parametrize("baseline", ["zero", "minimum", "constant", "mean", "blur", "uniform"])
def test_every_baseline_is_complete(baseline: str) -> None:
    model = model_of(net(), (1, 8, 8), dtype=torch.float64, low=-2.0, high=2.0)
    result = explain(
        model, batch_of(inputs(2).double(), 0), name="integrated_gradients", baseline=baseline, steps=400, value=0.3
    )
    assert all(check.gap < 0.02 for (check,) in result.checks)
    expected = [check.expected for (check,) in result.checks]
    if baseline == "minimum":
        black = torch.full((1, 1, 8, 8), -2.0, dtype=torch.float64)
        difference = (model.forward(inputs(2).double()) - model.forward(black))[:, 0]
        assert expected == pytest.approx(difference.tolist())


def test_a_baseline_that_needs_a_range_says_so_where_there_is_none() -> None:
    model = model_of(net(), (1, 8, 8))
    with pytest.raises(InvalidParameter, match="low and high"):
        attribution(model, batch_of(inputs(1), 0), name="integrated_gradients", baseline="minimum")


def test_integrated_gradients_can_leave_out_the_input() -> None:
    model, batch = model_of(net(), (1, 8, 8)), batch_of(inputs(1), 0)
    whole = attribution(model, batch, name="integrated_gradients")
    average = attribution(model, batch, name="integrated_gradients", times_input=False)
    torch.testing.assert_close(average * batch.x, whole)


@pytest.mark.slow
@needs_references
def test_on_squeezenet_gradients_equal_captums() -> None:
    model = reference_model("squeezenet1_1")
    x = prepared(model, photographs()[:3])
    batch = batch_of(x)
    classes = [t.index for t in model.resolve(batch) if t.kind == "class"]
    run = lambda x: model.graph.run(x)[0]  # noqa: E731  Captum takes any function
    saliency = Saliency(run).attribute(x.clone().requires_grad_(), target=classes, abs=False)
    assert relative(attribution(model, batch, name="gradient"), saliency) < 1e-5
    integrated = IntegratedGradients(run).attribute(x, x * 0, target=classes, n_steps=20, internal_batch_size=8)
    assert relative(attribution(model, batch, name="integrated_gradients", steps=20), integrated.float()) < 1e-4


@pytest.mark.slow
@needs_references
def test_on_squeezenet_the_completeness_gap_is_small() -> None:
    """Every fifth photograph here; the figures of all 35 are in the changelog of the method's page."""
    model = reference_model("squeezenet1_1")
    result = explain(model, batch_of(prepared(model, photographs()[::5])), name="integrated_gradients")
    gaps = sorted(check.gap for (check,) in result.checks)
    assert gaps[len(gaps) // 2] < 0.01


def relative(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())
