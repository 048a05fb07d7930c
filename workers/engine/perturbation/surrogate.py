"""Linear surrogates of a game: what each segment adds to the score, with standard errors."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb, factorial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression, Ridge
from torch import Tensor

from workers.engine.perturbation.coalitions import Prefixes

Members: TypeAlias = NDArray[np.bool_]
Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """A value per player and the standard error of each.

    `total` is what they must sum to, where they must; `r2` the share of the scores' variance that the values explain.
    """

    values: Floats
    errors: Floats
    total: float | None = None
    r2: float | None = None


def local_linear(drawn: Tensor, scores: Floats, kernel: float, alpha: float) -> Fit:
    """Ridge regression of the scores on membership, coalitions weighted by nearness to everybody (S4 l.6960ff).

    The weight is exp(-d^2 / kernel^2)^(1/2), d the cosine distance to the coalition of everybody.
    """
    members = drawn.numpy()
    distance = 1 - np.sqrt(members.mean(1))
    weights = np.exp(-np.square(distance / kernel) / 2)
    ridge = Ridge(alpha=alpha).fit(members, scores, sample_weight=weights)
    centred = members - np.average(members, axis=0, weights=weights)
    residuals = scores - ridge.predict(members)
    covariance = _covariance(centred, weights, (weights * residuals)[:, None] * centred, alpha)
    r2 = float(ridge.score(members, scores, sample_weight=weights)) if np.ptp(scores) > 0 else 1.0
    return Fit(ridge.coef_, np.sqrt(np.diag(covariance)), r2=r2)


def shapley_regression(drawn: Tensor, scores: Floats) -> Fit:
    """Kernel SHAP: least squares with weights of the Shapley kernel, the values summing to what everybody adds.

    Of all coalitions (in the order of `every`) it gives the Shapley values themselves. Fewer are those of `pairs`:
    nobody, everybody, and complements drawn from the kernel, each of which weighs the same.
    """
    members = drawn.numpy()
    players = members.shape[1]
    sampled = len(members) < 2**players
    nobody, everybody = (0, 1) if sampled else (0, len(members) - 1)
    total = float(scores[everybody] - scores[nobody])
    if players == 1:
        return Fit(np.array([total]), np.zeros(1), total)
    inner = np.delete(np.arange(len(scores)), [nobody, everybody])
    chosen, last = members[inner, :-1].astype(float), members[inner, -1:].astype(float)
    weights = np.ones(len(inner)) if sampled else _kernel(members[inner])
    design, response = chosen - last, scores[inner] - scores[nobody] - last[:, 0] * total
    line = LinearRegression(fit_intercept=False).fit(design, response, sample_weight=weights)
    values = np.append(line.coef_, total - line.coef_.sum())
    if not sampled:
        return Fit(values, np.zeros(players), total)
    # A coalition and its complement were drawn together, so their influence is counted together.
    influence = (design * (response - line.predict(design))[:, None]).reshape(-1, 2, players - 1).sum(1)
    covariance = _covariance(design, weights, influence, 0)
    return Fit(values, np.sqrt(np.append(np.diag(covariance), covariance.sum())), total)


def shapley_values(scores: Floats) -> Fit:
    """The Shapley values of a game from the scores of all coalitions, in the order of `every`."""
    players = len(scores).bit_length() - 1
    codes = np.arange(len(scores))
    sizes = np.array([code.bit_count() for code in codes.tolist()])
    share = np.array([factorial(s) * factorial(players - s - 1) / factorial(players) for s in range(players)])
    values = []
    for player in range(players):
        without = codes[codes >> player & 1 == 0]
        values.append((share[sizes[without]] * (scores[without | 1 << player] - scores[without])).sum())
    return Fit(np.array(values), np.zeros(players), float(scores[-1] - scores[0]))


def mean_entry(drawn: Tensor | Prefixes, scores: Floats) -> Fit:
    """What each player adds when entering, averaged over orders; over all of them, where all coalitions were scored.

    Orders come in pairs, drawn together, whose means are independent: the errors are those of the pairs' mean.
    """
    if not isinstance(drawn, Prefixes):
        return shapley_values(scores)
    ranks = drawn.ranks.numpy()
    count, players = ranks.shape
    inner = scores[2:].reshape(count, players - 1)
    ends = np.broadcast_to(scores[:2], (count, 2))
    steps = np.diff(np.concatenate([ends[:, :1], inner, ends[:, 1:]], 1), axis=1)
    added = np.take_along_axis(steps, ranks, 1).reshape(-1, 2, players).mean(1)
    return Fit(added.mean(0), added.std(0, ddof=1) / np.sqrt(len(added)), float(scores[1] - scores[0]))


def _kernel(members: Members) -> Floats:
    """The Shapley kernel's weight of each coalition, neither nobody nor everybody."""
    players = members.shape[1]
    of_size = [0.0] + [(players - 1) / (comb(players, s) * s * (players - s)) for s in range(1, players)]
    found: Floats = np.array(of_size)[members.sum(1)]
    return found


def _covariance(design: Floats, weights: Floats, influence: Floats, alpha: float) -> Floats:
    """The sandwich estimate of the coefficients' covariance, from the influence of each independent draw."""
    draws, unknowns = influence.shape
    bread = np.linalg.pinv(design.T @ (design * weights[:, None]) + alpha * np.eye(unknowns))
    spread = influence @ bread
    found: Floats = spread.T @ spread * (draws / max(1, draws - unknowns))
    return found
