"""DeepLIFT's RevealCancel against its formula."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.toys import inputs, model_of, net
from tests.workers.methods.gradient.deep_lift_runs import lifted
from tests.workers.methods.gradient.gradient_runs import attribution
from tests.workers.methods.gradient.test_gradient_family import at, function


def naive_reveal_cancel(layers: list[tuple[Tensor, Tensor]], x: Tensor, x0: Tensor, target: int) -> Tensor:
    """S3 Fig. 14 with the Linear rule of the paper, unit by unit, on a ReLU net of dense layers."""
    hidden, hidden0 = [x], [x0]
    for w, b in layers:
        hidden.append(functional.relu(w @ hidden[-1] + b))
        hidden0.append(functional.relu(w @ hidden0[-1] + b))
    m = layers[-1][0][target].clone()  # of the last hidden layer: the output is linear in it
    for depth in range(len(layers) - 2, -1, -1):
        (w, b), step = layers[depth], hidden[depth] - hidden0[depth]
        below = torch.zeros_like(step)
        for k in range(len(w)):
            c = w[k] * step
            up, down, start = float(c[c > 0].sum()), float(c[c < 0].sum()), float(w[k] @ hidden0[depth] + b[k])

            def f(z: float) -> float:
                return max(z, 0.0)

            rise = ((f(start + up) - f(start)) + (f(start + down + up) - f(start + down))) / 2
            fall = ((f(start + down) - f(start)) + (f(start + up + down) - f(start + up))) / 2
            steep = float(start + up + down > 0)
            above, under = rise / up if up else steep, fall / down if down else steep
            for i in range(len(step)):
                slope = above if c[i] > 0 else under if c[i] < 0 else (above + under) / 2
                below[i] += float(m[k]) * slope * float(w[k, i])
        m = below
    return m * (x - x0)


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_reveal_cancel_is_its_formula(value: float) -> None:
    torch.manual_seed(2)
    module = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 7), nn.ReLU(), nn.Linear(7, 3))
    x = inputs(3, shape=(6,)).double()
    found = lifted(model_of(module, (6,), torch.float64), x, 2, rule="reveal_cancel", baseline="constant", value=value)
    dense = [m for m in module if isinstance(m, nn.Linear)]
    layers = [(m.weight.detach().double(), m.bias.detach().double()) for m in dense]
    for row in range(3):
        expected = naive_reveal_cancel(layers, x[row], torch.full_like(x[row], value), 2)
        torch.testing.assert_close(found[row], expected, rtol=1e-9, atol=1e-12)
    assert not torch.allclose(
        found, lifted(model_of(module, (6,), torch.float64), x, 2, baseline="constant", value=value)
    )


@pytest.mark.parametrize(("a", "b"), [(3.0, 1.0), (1.0, 4.0)])
def test_reveal_cancel_sees_both_inputs_of_a_minimum(a: float, b: float) -> None:
    """The paper's example, min(a, b) = a - relu(a - b): each gets half, where rescale gives it all to one."""
    model = function(lambda x, y: x - functional.relu(x - y))
    half = min(a, b) / 2
    assert attribution(model, at(a, b), name="deep_lift", rule="reveal_cancel")[0].tolist() == pytest.approx(
        [half, half]
    )
    one = attribution(model, at(a, b), name="deep_lift")[0].tolist()
    assert one == pytest.approx([0, min(a, b)] if a > b else [min(a, b), 0])


def test_reveal_cancel_takes_contributions_through_norms_copies_and_reshapes() -> None:
    """What has one input a unit hands on the positive and negative parts of what it is given, swapped where it negates:
    so a dense layer followed by these is the dense layer they amount to together."""

    class Spread(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(5)
            self.first, self.last = nn.Linear(4, 6), nn.Linear(12, 2)

        def forward(self, x: Tensor) -> Tensor:
            z = (2 - 3 * self.first(x)).view(-1, 2, 3).transpose(1, 2)
            output: Tensor = self.last(
                functional.relu(functional.pad(torch.cat([z, z / 2], 2), (0, 0), value=1.0)).flatten(1)
            )
            return output

    spread = Spread()
    wide = nn.Linear(4, 12)
    plain = nn.Sequential(wide, nn.ReLU(), spread.last)
    order = torch.arange(6).view(2, 3).T
    rows = torch.cat([order, order], 1).flatten()
    scale = torch.tensor([1.0, 1.0, 0.5, 0.5]).repeat(3)
    with torch.no_grad():
        wide.weight.copy_(-3 * spread.first.weight[rows] * scale[:, None])
        wide.bias.copy_((2 - 3 * spread.first.bias[rows]) * scale)
    x = inputs(2, shape=(4,)).double()
    found, expected = (lifted(model_of(m, (4,), torch.float64), x, rule="reveal_cancel") for m in (spread, plain))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("one", "other"),
    [("linear", "none"), ("linear_rescale", "rescale"), ("linear_reveal_cancel", "reveal_cancel")],
)
def test_the_linear_rule_alone_changes_nothing(one: str, other: str) -> None:
    model, x = model_of(net(), (1, 8, 8)), inputs(2)
    assert torch.equal(lifted(model, x, rule=one), lifted(model, x, rule=other))
