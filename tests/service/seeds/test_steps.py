"""Rows of the seeds that are about time, each over HTTP: memory cells, phrases, how far back, groups of steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.service.seeds.asking import Answer, answered, sent, tensor
from tests.toys import model_of
from whence import Client
from workers.engine.model.model import Model

STEPS, CELLS, RECENT, WEEKS = 6, 4, 3, 52
SERIES = np.random.default_rng(0).normal(size=(12, STEPS, 2)).astype(np.float32)
WEIGHTS = np.array([1.0, -0.25], np.float32)


class Recurrent(nn.Module):
    """An LSTM, and a linear layer on its last state."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lstm, self.head = nn.LSTM(2, CELLS, batch_first=True), nn.Linear(CELLS, 2)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.head(self.lstm(x)[0][:, -1])
        return output


class Year(nn.Module):
    """A number of every week; without biases, so that relevance is conserved."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lstm, self.head = nn.LSTM(1, 3, batch_first=True, bias=False), nn.Linear(3, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.head(self.lstm(x)[0][:, -1])[:, 0]
        return output


class Recent(nn.Module):
    """The sum of the last steps' values, by a weight for each feature."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.from_numpy(WEIGHTS))

    def forward(self, x: Tensor) -> Tensor:
        return (x[:, STEPS - RECENT :] @ self.w).sum(1)


def models() -> dict[str, Model]:
    return {
        "lstm": model_of(Recurrent(), (STEPS, 2), digest=f"sha256:{1:064d}"),
        "year": model_of(Year(), (WEEKS, 1), digest=f"sha256:{3:064d}", output="value"),
        "recent": model_of(Recent(), (STEPS, 2), digest=f"sha256:{2:064d}", output="value"),
    }


def asked(client: Client, method: Any, target: Any, model: str = "lstm") -> Answer:
    return answered(client, model, method, target, input=tensor(SERIES[0]))


def cells(x: Any) -> Any:
    """Cells (n, STEPS, CELLS) by torch's own LSTM, one step after the other."""
    lstm, found, state = Recurrent().lstm, [], None
    for step in torch.from_numpy(x).unbind(1):
        _, state = lstm(step[:, None], state)
        found.append(state[1][0])
    return torch.stack(found, 1).detach().numpy()


def mean_correlation(one: Any, other: Any) -> float:
    return float(np.mean([np.corrcoef(c, s)[0, 1] for c, s in zip(one, other, strict=True)]))


@pytest.mark.parametrize("method", ["integrated_gradients", "deep_lift"])
def test_what_is_attributed_to_a_memory_cell_sums_to_its_change(client: Client, method: str) -> None:
    """sum IG = c_T(x) - c_T(x')."""
    found = asked(client, method, {"layer": "lstm.l0.t5.c", "channel": 2})
    one, none = (cells(x)[0, -1, 2] for x in (SERIES[:1], 0 * SERIES[:1]))
    assert found.map.sum() == pytest.approx(one - none, rel=1e-4)


def test_a_state_sees_no_later_step(client: Client) -> None:
    found = asked(client, "input_times_gradient", {"layer": "lstm.l0.t2.h", "channel": 0})
    assert (found.map[:3] != 0).all()
    assert (found.map[3:] == 0).all()


def test_a_year_of_weeks_is_explained_by_week(client: Client) -> None:
    """LRP-all hands on through 52 steps what it is given, the score."""
    x = np.random.default_rng(1).normal(size=(WEEKS, 1))
    found = answered(client, "year", {"name": "lrp", "composite": "zero"}, "value", input=tensor(x))
    score = Year()(torch.from_numpy(x.astype(np.float32))[None]).item()
    assert found.map.shape == (WEEKS, 1)
    assert found.map.sum() == pytest.approx(score, rel=1e-3)


def test_a_phrase_and_what_is_left_are_the_output(client: Client) -> None:
    """beta + gamma = output."""
    found = asked(client, {"name": "contextual_decomposition", "phrase": [1, 3]}, 1)
    score = Recurrent()(torch.from_numpy(SERIES[:1]))[0, 1].item()
    assert float(found.arrays["beta"][0] + found.arrays["gamma"][0]) == pytest.approx(score, rel=1e-5)
    assert (found.map[[0, 3, 4, 5]] == 0).all()


def test_a_model_of_the_last_steps_reaches_so_far(client: Client) -> None:
    """The first n with |change| > 2e-3: of a model of the last three steps three, and each step by its weights."""
    found = asked(client, "steps_of_influence", None, model="recent")
    assert found.arrays["scores"].tolist() == [RECENT]
    wanted = np.r_[np.zeros(STEPS - RECENT), SERIES[0, STEPS - RECENT :] @ WEIGHTS]
    np.testing.assert_allclose(found.arrays["curves"].ravel(), wanted, rtol=1e-4, atol=1e-6)


def test_cells_correlate_with_series_as_numpy_has_it(client: Client) -> None:
    own = cells(SERIES)
    series = np.stack([SERIES.cumsum(1)[..., 0], -3 * own[..., 1] + 1], 2)
    digest = sent(client, inputs=SERIES, series=series)
    found = answered(client, "lstm", {"name": "cell_correlation", "dataset": digest})
    wanted = [[mean_correlation(own[..., cell], series[..., at]) for at in range(2)] for cell in range(CELLS)]
    np.testing.assert_allclose(found.arrays["matrix"], wanted, atol=1e-5)
    assert found.arrays["scores"][1] == pytest.approx(-1, abs=1e-5)


@pytest.mark.parametrize("shared", ["whole", "divided"])
def test_groups_that_overlap_count_a_feature_once_or_in_each(client: Client, shared: str) -> None:
    groups = [{"name": "first", "features": [[None, 0]]}, {"name": "last", "features": [[5]]}]
    method = {"name": "group_sums", "of": "input_times_gradient", "groups": groups, "shared": shared}
    found = asked(client, method, None, model="recent")
    made = SERIES[0] * WEIGHTS * (np.arange(STEPS) >= STEPS - RECENT)[:, None]
    wanted = np.array([made[:, 0].sum(), made[5].sum()])
    if shared == "divided":
        wanted -= made[5, 0] / 2
    np.testing.assert_allclose(found.arrays["scores"], wanted, rtol=1e-4, atol=1e-6)
