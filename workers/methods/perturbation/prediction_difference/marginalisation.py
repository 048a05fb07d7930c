"""How the score differs once a window's values are unknown: averaged over values that could be there."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from math import log, prod
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from workers.engine.data.random_items import pick
from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.model.outputs import check_probability
from workers.engine.perturbation.altered_scores import Copies, altered_scores
from workers.engine.perturbation.windows import Window
from workers.explanation.errors import Instead, InvalidTarget
from workers.explanation.target import ClassTarget, RankTarget, Target
from workers.methods.perturbation.prediction_difference.patch_gaussians import Gaussian, as_inputs, over_places

Score: TypeAlias = Literal["weight_of_evidence", "probability", "logit"]
Fill: TypeAlias = Callable[[int, Window, int], Tensor]  # (row, window, sample) -> values (channels, *window)


def check(model: Function, score: Score) -> None:
    """Raise MethodNotApplicable where the output has no probability, and one is to be watched, or its log-odds.

    InvalidTarget for the weight of evidence of what is no class.
    """
    check_class(score, model.targets)
    if score != "logit":
        check_probability(model.card, model.targets)


def check_class(score: Score, wanted: Sequence[Target]) -> None:
    """Raise InvalidTarget for the weight of evidence of what is no class."""
    if score == "weight_of_evidence" and any(not isinstance(one, ClassTarget | RankTarget) for one in wanted):
        raise InvalidTarget(
            "weight of evidence is the log-odds of a class, and this target is none",
            pointer="/target",
            instead=[Instead(parameters={"score": "logit"}), Instead(target="argmax")],
        )


def known(x: Tensor) -> Fill:
    """Every window filled from one input per row, (n, channels, *places)."""
    return lambda row, window, _: x[row][(slice(None), *window)]


def each_of(x: Tensor) -> Fill:
    """Every window filled from each of some inputs (k, channels, *places) in turn, whatever the row."""
    return lambda _, window, sample: x[sample][(slice(None), *window)]


def marginal(model: Function, batch: Batch, dataset: str, samples: int) -> Fill:
    """The same window of random items of a dataset; a row uses the same items for all of its windows."""
    items, drawn = pick(model, batch, dataset, samples, batch.generators())
    items = over_places(items, model.card.input)
    return lambda row, window, sample: items[int(drawn[row, sample])][(slice(None), *window)]


def conditional(model: Function, batch: Batch, gaussian: Gaussian) -> Fill:
    """Draws given the window's surroundings, kept within the input's range where that is known."""
    sources, x = batch.generators(), over_places(batch.x, model.card.input)
    bounds = None
    if (known_range := model.range()) is not None:
        bounds = [over_places(bound.expand_as(batch.x[:1]), model.card.input)[0] for bound in known_range]

    def fill(row: int, window: Window, _: int) -> Tensor:
        count = prod(part.stop - part.start for part in window)
        drawn = gaussian.sample(x[row], window, torch.randn(x.shape[1], count, generator=sources[row]))
        if bounds is None:
            return drawn
        low, high = (bound[(slice(None), *window)] for bound in bounds)
        return drawn.clamp(low, high)

    return fill


def unknown_scores(
    model: Function, batch: Batch, question: Hashable, windows: Sequence[Window], fill: Fill, samples: int, score: Score
) -> tuple[Tensor, Tensor]:
    """The score of each row (n, 1, 1) and, float64, with each window filled `samples` times (n, windows, samples)."""
    check_class(score, batch.targets)
    wanted, spec = model.resolve(batch), model.card.input
    probability = score != "logit"

    def alter(rows: Tensor, points: Tensor) -> Tensor:
        x = over_places(batch.x[rows], spec).clone()
        for i, (row, point) in enumerate(zip(rows.tolist(), points.tolist(), strict=True)):
            window = windows[point // samples]
            x[(i, slice(None), *window)] = fill(row, window, point % samples)
        return as_inputs(x, spec)

    copies = Copies.of_each(len(batch), len(windows) * samples, alter)
    scores = altered_scores(model, batch, copies, probability, question)
    with torch.no_grad():
        whole = torch.cat([model.scores(batch.x[i : i + 1], wanted[i : i + 1], probability) for i in range(len(batch))])
    return whole.double()[:, None, None], scores.double().view(len(batch), len(windows), samples)


def compare(whole: Tensor, unknown: Tensor, score: Score, classes: int, instances: int) -> tuple[Tensor, Tensor]:
    """What each window says for the target (n, windows), and each sample's part in its error (n, windows, samples)."""
    mean = unknown.mean(2, keepdim=True)
    if score != "weight_of_evidence":
        return (whole - mean)[..., 0], mean - unknown
    corrected = [(p * instances + 1) / (instances + classes) for p in (whole, mean)]
    odds = [torch.log2(p / (1 - p)) for p in corrected]
    slope = instances / (instances + classes) / log(2) / (corrected[1] * (1 - corrected[1]))
    return (odds[0] - odds[1])[..., 0], (mean - unknown) * slope


def spread(values: Tensor, parts: Tensor, windows: Sequence[Window], like: Tensor) -> tuple[Tensor, Tensor]:
    """Maps of one channel (n, 1, *places): the mean over the windows at a place, and its standard error.

    `parts` are averaged over windows sample by sample, so that the error is right where windows share their draws.
    """
    count, samples = parts.shape[0], parts.shape[2]
    both = torch.cat([values.unsqueeze(2), parts], 2)
    total = both.new_zeros(count, samples + 1, *like.shape[2:])
    covered = torch.zeros_like(total[:1, :1])
    for at, window in enumerate(windows):
        here = (slice(None), slice(None), *window)
        total[here] += both[:, at].view(*both.shape[::2], *[1] * len(window))
        covered[here] += 1
    maps = (total / covered).to(like.dtype)
    errors = maps[:, 1:].square().sum(1, keepdim=True) / max(1, samples * (samples - 1))
    return maps[:, :1], errors.sqrt()
