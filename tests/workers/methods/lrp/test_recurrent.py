"""Recurrent nets and embeddings: unrolled they compute the same, and relevance passes their gates as in the book."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.toys import batch_of, model_of
from tests.workers.methods.gradient.gradient_runs import attribution, explain
from workers.engine.model.model import Model
from workers.explanation.errors import MethodNotApplicable
from workers.explanation.target import ValueTarget
from workers.methods.catalogue import parse_method
from workers.runtime.execute.model_support import support

GATES = ["all", "prop", "abs", "half"]


STEPS, FEATURES = 5, 3


class Reads(nn.Module):
    """A recurrent layer, and a linear one on its first and last outputs and on its last states."""

    def __init__(self, rnn: nn.RNNBase) -> None:
        super().__init__()
        self.rnn = rnn
        self.fc = nn.LazyLinear(2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y, states = self.rnn(x if self.rnn.batch_first else x.transpose(0, 1))
        y = y if self.rnn.batch_first else y.transpose(0, 1)
        states = states if isinstance(states, tuple) else (states,)
        read = [y[:, 0], y[:, -1], *(state.transpose(0, 1).flatten(1) for state in states)]
        output: Tensor = self.fc(torch.cat(read, 1))
        return output


class Steps(nn.Module):
    """A cell called step by step."""

    def __init__(self, cell: nn.RNNCellBase) -> None:
        super().__init__()
        self.cell = cell
        self.fc = nn.LazyLinear(2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        state = None
        for t in range(x.shape[1]):
            state = self.cell(x[:, t], state)
        output: Tensor = self.fc(state[0] if isinstance(state, tuple) else state)
        return output


NETS: dict[str, Callable[[], nn.Module]] = {
    "lstm": lambda: Reads(nn.LSTM(FEATURES, 4, 2, batch_first=True, bidirectional=True)),
    "lstm, no bias, dropout": lambda: Reads(nn.LSTM(FEATURES, 4, 2, bias=False, dropout=0.5)),
    "lstm, projected": lambda: Reads(nn.LSTM(FEATURES, 4, 2, proj_size=2, bidirectional=True, batch_first=True)),
    "gru": lambda: Reads(nn.GRU(FEATURES, 4, 2, bidirectional=True)),
    "gru, no bias": lambda: Reads(nn.GRU(FEATURES, 4, bias=False, batch_first=True)),
    "rnn": lambda: Reads(nn.RNN(FEATURES, 4, 2, batch_first=True)),
    "rnn of relus": lambda: Reads(nn.RNN(FEATURES, 4, nonlinearity="relu", bias=False, bidirectional=True)),
    "lstm cell": lambda: Steps(nn.LSTMCell(FEATURES, 4)),
    "gru cell": lambda: Steps(nn.GRUCell(FEATURES, 4, bias=False)),
    "rnn cell": lambda: Steps(nn.RNNCell(FEATURES, 4)),
}


def made(name: str) -> tuple[nn.Module, Model]:
    """A net with random weights, in float64, and the Model of it."""
    torch.manual_seed(0)
    module = NETS[name]().eval()
    with torch.no_grad():
        module(torch.zeros(2, STEPS, FEATURES))
    model = model_of(module, (STEPS, FEATURES), dtype=torch.float64)
    return module.double(), model


def sequences(n: int) -> Tensor:
    return torch.randn(n, STEPS, FEATURES, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("n", [pytest.param(1, marks=pytest.mark.slow), 3])
@pytest.mark.parametrize("name", NETS)
def test_unrolled_it_computes_what_it_did_and_has_its_gradient(name: str, n: int) -> None:
    """Both graphs: the one of whole calls that perturbations run, and the unrolled one that relevance walks."""
    module, model = made(name)
    x = sequences(n)
    given = x.clone().requires_grad_()
    output = module(given)
    expected = torch.autograd.grad(output[:, 1].sum(), given)[0]
    for graph in (model.graph, model.folded):
        torch.testing.assert_close(graph.run(x)[0], output.detach(), rtol=1e-10, atol=1e-12)
    batch = batch_of(x, 1)
    torch.testing.assert_close(model.gradient(x, batch.targets)[1], expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(attribution(model, batch, name="gradient"), expected, rtol=1e-10, atol=1e-12)
    assert not {"lstm", "gru", "rnn_tanh", "lstm_cell"} & {node.op for node in model.folded.nodes}


def test_every_step_has_layers_of_its_own_and_the_card_has_the_whole() -> None:
    model = made("lstm")[1]
    assert model.layer("rnn.l1_reverse.t3.gates").shape == (16,)
    assert model.layer("rnn.l0.t0.c").shape == (4,)
    layers = [node.layer for node in model.folded.nodes]
    assert len(layers) == len(set(layers))
    assert {layer.name for layer in model.card.layers} < {*layers, *(a for n in model.folded.nodes for a in n.aliases)}
    assert len(model.card.layers) < 20
    found = attribution(model, batch_of(sequences(2)), name="lrp", to="rnn.l0.t0.c")
    assert found.shape == (2, 4)


@pytest.mark.parametrize("name", ["lstm, no bias, dropout", "gru, no bias", "rnn of relus", "gru cell"])
def test_relevance_is_conserved_without_biases(name: str) -> None:
    """LRP-all, small epsilon; the default composite is epsilon here, since no layer reads the input alone."""
    model = made(name)[1]
    result = explain(model, batch_of(sequences(4)), name="lrp")
    assert all(check.gap < 1e-3 for checks in result.checks for check in checks)
    rules = result.info[0]["rules"]
    assert {rule for layer, rule in rules.items() if layer.endswith((".gates", ".sum"))} == {"epsilon"}


def test_relevance_is_conserved_in_two_directions() -> None:
    torch.manual_seed(0)
    module = Reads(nn.LSTM(FEATURES, 4, 2, bias=False, batch_first=True, bidirectional=True)).eval()
    with torch.no_grad():
        module(torch.zeros(2, STEPS, FEATURES))
    model = model_of(module, (STEPS, FEATURES), dtype=torch.float64)
    batch = batch_of(sequences(4))
    result = explain(model, batch, name="lrp", composite="epsilon")
    assert all(check.gap < 1e-3 for checks in result.checks for check in checks)
    alone = attribution(model, batch_of(sequences(4)[1:2]), name="lrp", composite="epsilon")
    torch.testing.assert_close(alone[0], result.arrays["attribution"][1], rtol=1e-8, atol=1e-10)


def test_deep_lift_passes_the_gates_completely() -> None:
    for name in ("lstm", "gru"):
        result = explain(made(name)[1], batch_of(sequences(3)), name="deep_lift")
        assert all(check.gap < 1e-6 for checks in result.checks for check in checks)


class Gated(nn.Module):
    """sigmoid(G x) * tanh(S x), summed."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.signal = nn.Linear(3, 4, bias=False), nn.Linear(3, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return (torch.tanh(self.signal(x)) * torch.sigmoid(self.gate(x))).sum(1)


@pytest.mark.parametrize("gate", GATES)
def test_each_gate_rule_is_its_formula_on_one_product(gate: str) -> None:
    """S4 Table 11.1, unit by unit, then LRP-0 down both branches."""
    torch.manual_seed(2)
    module = Gated()
    model = model_of(module, (3,), dtype=torch.float64, output="value")
    x = torch.randn(2, 3, dtype=torch.float64)
    found = attribution(model, batch_of(x, ValueTarget()), name="lrp", composite="zero", gate=gate)
    wg, ws = (layer.weight.detach().double() for layer in (module.gate, module.signal))
    for row in range(2):
        expected = torch.zeros(3, dtype=torch.float64)
        for k in range(4):
            zg, zs = wg[k] @ x[row], ws[k] @ x[row]
            r = torch.sigmoid(zg) * torch.tanh(zs)
            sizes = zg.abs() / (zg.abs() + zs.abs())
            to_gate = {"all": 0 * zg, "prop": zg / (zg + zs), "abs": sizes, "half": 0 * zg + 0.5}[gate]
            expected += to_gate * r * wg[k] * x[row] / zg + (1 - to_gate) * r * ws[k] * x[row] / zs
        torch.testing.assert_close(found[row], expected, rtol=1e-4, atol=1e-6)


class Tokens(nn.Module):
    """Token numbers, held by floats, looked up and read in order."""

    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(9, FEATURES)
        self.rnn = nn.GRU(FEATURES, 4, batch_first=True, bias=False)
        self.fc = nn.Linear(4, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc(self.rnn(self.emb(x.long()))[0][:, -1])
        return output


def test_relevance_of_tokens_is_read_at_their_embedding() -> None:
    torch.manual_seed(0)
    model = model_of(Tokens(), (STEPS,), dtype=torch.float64)
    x = torch.tensor([[1.0, 4.0, 4.0, 0.0, 8.0], [2.0, 2.0, 7.0, 3.0, 5.0]], dtype=torch.float64)
    result = explain(model, batch_of(x), name="lrp", to="emb")
    assert result.arrays["attribution"].shape == (2, STEPS, FEATURES)
    assert all(check.gap < 1e-3 for checks in result.checks for check in checks)
    assert explain(model, batch_of(x), name="occlusion", patch=1).arrays["attribution"].abs().sum() > 0


@pytest.mark.parametrize("name", ["gradient", "integrated_gradients", "input_times_gradient", "lrp", "guided_backprop"])
def test_tokens_have_no_gradient_and_that_is_said(name: str) -> None:
    """Not zeros, which would say that no token matters."""
    model = model_of(Tokens(), (STEPS,))
    with pytest.raises(MethodNotApplicable, match="emb"):
        explain(model, batch_of(torch.ones(1, STEPS), 0), name=name)
    told = support(model, name)
    assert not told.supported
    assert '"to": "emb"' in (told.reason or "")
    assert support(model, "occlusion").supported
    parse_method({"name": "lrp", "to": "emb"}).refuse(model)
