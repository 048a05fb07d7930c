"""Memory cells and series: the correlation of each two over the steps, and what stands in the way of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.resources import InMemory, in_memory, no_input, with_series
from tests.toys import model_of
from workers.engine.model.model import Model
from workers.explanation.errors import InvalidParameter, MethodNotApplicable
from workers.explanation.result import Row
from workers.methods.catalogue import parse_method


class Two(nn.Module):
    """An LSTM, a GRU on it, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(2, 3, batch_first=True)
        self.gru = nn.GRU(3, 4, batch_first=True)
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc(self.gru(self.lstm(x)[0])[0][:, -1])
        return output


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    return model_of(Two(), (7, 2), dtype=torch.float64)


def data(count: int = 11) -> Tensor:
    return torch.randn(count, 7, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def values(model: Model, x: Tensor, pattern: str) -> np.ndarray:
    at = [model.layer(pattern.replace("*", str(t))).index for t in range(7)]
    found = model.folded.run(x, set(at))[1]
    return torch.stack([found[i] for i in at], 1).detach().numpy()


def found(model: Model, resources: InMemory, **fields: object) -> Row:
    method = parse_method({"name": "cell_correlation", **fields})
    method.refuse(model)
    return method.explain(model, no_input(model, resources)).rows()[0]


@pytest.mark.parametrize(("layer", "cells"), [(None, 3), ("lstm.l0.t*.h", 3), ("gru.l0.t*.h", 4)])
def test_it_is_numpys_correlation_of_every_cell_and_series(model: Model, layer: str | None, cells: int) -> None:
    x, series = data(), np.random.default_rng(0).normal(size=(11, 7, 2))
    own = values(model, x, layer or "lstm.l0.t*.c")
    series[:, :, 1] = -3 * own[:, :, 2] + 1
    row = found(model, with_series(in_memory(x), series), layer=layer)
    assert row.arrays["matrix"].shape == (cells, 2)
    for c in range(cells):
        for s in range(2):
            each = [np.corrcoef(own[n, :, c], series[n, :, s])[0, 1] for n in range(11)]
            assert row.arrays["matrix"][c, s] == pytest.approx(np.mean(each), abs=1e-6)
    assert row.arrays["scores"][1] == pytest.approx(-1)
    assert row.info["concepts"][1] == {"concept": "series 1: cell 2"}
    assert (row.arrays["items"] == 11).all()


class Called(nn.Module):
    """A cell of each kind, called step by step, and another net that is called as often."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.read = nn.LSTMCell(2, 3), nn.GRUCell(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        state, memory, total = None, None, 0
        for t in range(7):
            state = self.first(x[:, t], state)
            memory = self.second(state[0], memory)
            total = total + self.read(memory)
        output: Tensor = torch.as_tensor(total)
        return output


@pytest.mark.parametrize(("layer", "width"), [(None, 3), ("first@*.h", 3), ("second@*.h", 4), ("first@*.f", 3)])
def test_of_cells_that_are_called_step_by_step(layer: str | None, width: int) -> None:
    """The states are those of a loop over the cell itself."""
    torch.manual_seed(0)
    net = Called().double()
    x, series = data(), np.random.default_rng(0).normal(size=(11, 7, 1))
    own: dict[str, list[Tensor]] = {"first@*.c": [], "first@*.h": [], "second@*.h": [], "first@*.f": []}
    h, c, m = (torch.zeros(11, n, dtype=torch.float64) for n in (3, 3, 4))
    with torch.no_grad():
        for t in range(7):
            gates = x[:, t] @ net.first.weight_ih.T + net.first.bias_ih + h @ net.first.weight_hh.T + net.first.bias_hh
            h, c = net.first(x[:, t], (h, c))
            m = net.second(h, m)
            for name, one in (("first@*.c", c), ("first@*.h", h), ("second@*.h", m)):
                own[name].append(one)
            own["first@*.f"].append(gates.chunk(4, 1)[1].sigmoid())
    cells = torch.stack(own[layer or "first@*.c"], 1).numpy()
    model = model_of(net.float(), (7, 2), dtype=torch.float64)
    assert {cell.name.partition("@")[0] for cell in model.card.cells} == {"first", "second"}
    matrix = found(model, with_series(in_memory(x), series), layer=layer).arrays["matrix"]
    each = [[np.corrcoef(cells[n, :, c], series[n, :, 0])[0, 1] for n in range(11)] for c in range(width)]
    np.testing.assert_allclose(matrix[:, 0], np.mean(each, 1), atol=1e-5)


def test_what_never_changes_has_no_correlation(model: Model) -> None:
    """A series that stands still in an item counts in none of its means."""
    x, series = data(), np.random.default_rng(0).normal(size=(11, 7, 1))
    series[3:] = 5.0
    row = found(model, with_series(in_memory(x), series))
    first = found(model, with_series(in_memory(x[:3]), series[:3]))
    assert (row.arrays["items"] == 3).all()
    np.testing.assert_allclose(row.arrays["matrix"], first.arrays["matrix"], rtol=1e-6)
    still = found(model, with_series(in_memory(x), np.full((11, 7, 1), 5.0)))
    assert (still.arrays["matrix"] == 0).all()


def test_two_things_that_grow_correlate() -> None:
    """Independent of each other but for that: the correlation over time is high all the same."""
    steps = np.arange(40.0)[:, None]
    draw = np.random.default_rng(0)
    one, other = (steps + draw.normal(size=(40, 1)) for _ in range(2))
    assert np.corrcoef(one[:, 0], other[:, 0])[0, 1] > 0.9


def test_a_worker_that_dies_loses_nothing(model: Model) -> None:
    x, series = data(20), np.random.default_rng(0).normal(size=(20, 7, 2))
    resources = with_series(in_memory(x), series)
    from workers.methods.structure.cell_correlation.compute import cell_of, correlations

    whole = correlations(model, no_input(model, resources), "training", cell_of(model.card, None))
    half = with_series(in_memory(x[:8]), series[:8])
    kept = correlations(model, no_input(model, half), "training", cell_of(model.card, None))
    resources.save("items", {**kept.arrays(), "next item": np.array(8)})
    again = correlations(model, no_input(model, resources), "training", cell_of(model.card, None))
    np.testing.assert_allclose(again.mean, whole.mean, rtol=1e-12)


def test_what_is_missing_is_named(model: Model) -> None:
    for series, why in ((None, "has no series"), (np.zeros((11, 5, 1)), "5 steps, and lstm.l0.t\\*.c has 7")):
        with pytest.raises(InvalidParameter, match=why):
            found(model, with_series(in_memory(data()), series))
    with pytest.raises(InvalidParameter, match=r"did you mean lstm\.l0\.t\*\.o"):
        parse_method({"name": "cell_correlation", "layer": "lstm.l0.t*.d"}).refuse(model)
    with pytest.raises(MethodNotApplicable, match="no recurrent layer"):
        parse_method("cell_correlation").refuse(model_of(nn.Linear(3, 2), (3,)))
