"""contextual_decomposition: Murdoch's algorithm written as in the paper, and beta + gamma = output."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.lstm_table import figures
from tests.toys import batch_of, inputs, model_of, net
from tests.workers.methods.lrp.test_recurrent_by_hand import TRAINED
from workers.engine.model.model import Model
from workers.explanation.errors import InvalidParameter, MethodNotApplicable
from workers.methods.method import parse_method

Array = NDArray[np.float64]
STEPS, FEATURES, HIDDEN = 6, 3, 4
X = torch.randn(2, STEPS, FEATURES, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


class Last(nn.Module):
    """A recurrent layer, and a linear one on its last output."""

    def __init__(self, rnn: nn.RNNBase) -> None:
        super().__init__()
        self.lstm, self.fc = rnn, nn.Linear(rnn.hidden_size * (2 if rnn.bidirectional else 1), 3)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc(self.lstm(x)[0][:, -1])
        return output


def modelled(rnn: nn.RNNBase) -> tuple[Last, Model]:
    torch.manual_seed(1)
    module = Last(rnn)
    for values in module.parameters():
        nn.init.normal_(values, std=0.8)
    return module, model_of(module, (STEPS, FEATURES), dtype=torch.float64)


def sigmoid(z: Array) -> Array:
    found: Array = 1 / (1 + np.exp(-z))
    return found


def three(a: Array, b: Array, c: Array, of: Any) -> tuple[Array, Array, Array]:
    """The shares of a and b in of(a + b + c), whose constant is of(c): the mean of both orders."""
    first = ((of(a + c) - of(c)) + (of(a + b + c) - of(b + c))) / 2
    second = ((of(b + c) - of(c)) + (of(a + b + c) - of(a + c))) / 2
    return first, second, of(c)


def by_hand(module: Last, x: Array, first: int, stop: int) -> Array:
    """The phrase's part of all three outputs, for one row (STEPS, FEATURES): the paper's eq. 9 to 26, step by step."""
    lstm = module.lstm
    w, v = (lstm.get_parameter(n).detach().double().numpy() for n in ("weight_ih_l0", "weight_hh_l0"))
    b = np.add(*(lstm.get_parameter(n).detach().double().numpy() for n in ("bias_ih_l0", "bias_hh_l0")))
    w, v = w.reshape(4, HIDDEN, -1), v.reshape(4, HIDDEN, -1)  # input, forget, candidate, output
    b = b.reshape(4, HIDDEN)
    beta_c, gamma_c, beta_h, gamma_h = (np.zeros(HIDDEN) for _ in range(4))
    for t in range(STEPS):
        inside = first <= t < stop
        own = [v[k] @ beta_h + (w[k] @ x[t] if inside else 0) for k in range(4)]
        rest = [v[k] @ gamma_h + (0 if inside else w[k] @ x[t]) for k in range(4)]
        bi, gi, ci = three(own[0], rest[0], b[0], sigmoid)
        bf, gf, cf = three(own[1], rest[1], b[1], sigmoid)
        bg, gg, cg = three(own[2], rest[2], b[2], np.tanh)
        new = bi * (bg + cg) + ci * bg + (ci * cg if inside else 0)
        left = gi * (bg + gg + cg) + (bi + ci) * gg + (0 if inside else ci * cg)
        new, left = new + (bf + cf) * beta_c, left + (bf + gf + cf) * gamma_c + gf * beta_c
        beta_c, gamma_c = new, left
        shown, hidden, _ = three(beta_c, gamma_c, np.zeros(HIDDEN), np.tanh)
        o = sigmoid(own[3] + rest[3] + b[3])
        beta_h, gamma_h = o * shown, o * hidden
    found: Array = module.fc.weight.detach().double().numpy() @ beta_h
    return found


def test_an_lstm_is_decomposed_as_in_the_paper() -> None:
    module, model = modelled(nn.LSTM(FEATURES, HIDDEN, batch_first=True))
    found = parse_method("contextual_decomposition").explain(model, batch_of(X, 2))
    wanted = [[by_hand(module, x, t, t + 1)[2] for t in range(STEPS)] for x in X.numpy()]
    np.testing.assert_allclose(found.arrays["beta"], wanted, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.arrays["attribution"].sum(2), wanted, rtol=1e-9, atol=1e-12)
    phrase = parse_method({"name": "contextual_decomposition", "phrase": [2, 5]}).explain(model, batch_of(X, 1))
    wanted = [[by_hand(module, x, 2, 5)[1]] for x in X.numpy()]
    np.testing.assert_allclose(phrase.arrays["beta"], wanted, rtol=1e-9, atol=1e-12)
    assert float(phrase.arrays["attribution"][:, [0, 1, 5]].abs().max()) == 0


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("whole", [True, False])
def test_beta_and_gamma_are_the_output(kind: type[nn.RNNBase], layers: int, whole: bool) -> None:
    _, model = modelled(kind(FEATURES, HIDDEN, layers, batch_first=True))  # type: ignore[arg-type]  # as its subclasses
    method = parse_method({"name": "contextual_decomposition", "output_gate": not whole})
    found = method.explain(model, batch_of(X, 0))
    outputs = model.forward(X)[:, :1].expand(2, STEPS)
    torch.testing.assert_close(found.arrays["beta"] + found.arrays["gamma"], outputs, rtol=1e-9, atol=1e-11)
    assert all(check.gap < 1e-9 for row in found.checks for check in row)
    everything = parse_method({"name": "contextual_decomposition", "phrase": [0, STEPS]}).explain(model, batch_of(X, 0))
    rest = float(everything.arrays["gamma"].abs().max())
    assert rest > 0  # what biases make


def test_without_biases_all_steps_together_are_the_score() -> None:
    module = nn.Sequential(
        nn.Linear(FEATURES, 5, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(5 * STEPS, 2, bias=False)
    )
    model = model_of(module, (STEPS, FEATURES), dtype=torch.float64)
    found = parse_method("contextual_decomposition").explain(model, batch_of(X, 1))
    torch.testing.assert_close(found.arrays["beta"].sum(1), model.forward(X)[:, 1])
    whole = parse_method({"name": "contextual_decomposition", "phrase": [0, STEPS]}).explain(model, batch_of(X, 1))
    torch.testing.assert_close(whole.arrays["beta"][:, 0], model.forward(X)[:, 1])
    torch.testing.assert_close(whole.arrays["gamma"], torch.zeros(2, 1).double())


def test_a_linear_score_is_shared_by_step() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(STEPS * FEATURES, 2))
    model = model_of(module, (STEPS, FEATURES), dtype=torch.float64)
    found = parse_method("contextual_decomposition").explain(model, batch_of(X, 0)).arrays["beta"]
    wanted = (X * module[1].weight[0].detach().double().view(STEPS, FEATURES)).sum(2)  # type: ignore[index]  # a Linear
    torch.testing.assert_close(found, wanted)


def test_the_axis_of_steps_is_chosen() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(STEPS * FEATURES, 2))
    model = model_of(module, (STEPS, FEATURES), dtype=torch.float64)
    found = parse_method({"name": "contextual_decomposition", "axis": 1}).explain(model, batch_of(X, 0))
    assert found.arrays["beta"].shape == (2, FEATURES)


def test_what_has_no_rule_is_named_and_so_is_a_phrase_beyond_the_end() -> None:
    with pytest.raises(MethodNotApplicable, match="pool"):
        parse_method("contextual_decomposition").refuse(model_of(net(), (1, 8, 8)))
    model = model_of(nn.Sequential(nn.Flatten(), nn.Linear(18, 2)), (STEPS, FEATURES))
    with pytest.raises(InvalidParameter, match="steps 0 to 5"):
        parse_method({"name": "contextual_decomposition", "phrase": [4, 9]}).explain(model, batch_of(inputs(0), 0))


@pytest.mark.slow
def test_addition_comes_out_as_in_table_11_2() -> None:
    """The book's means: 99.997, 99.997 and 99.92 %."""
    first, second, share = figures(TRAINED["addition"], "addition", ("CD",), count=20)["CD"]
    assert min(first, second) > 99.9
    assert share > 99
