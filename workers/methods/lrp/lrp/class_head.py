"""Heads: what relevance starts from at the output."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.engine.model.outputs import independent
from workers.explanation.errors import Instead, MethodNotApplicable
from workers.explanation.target import ClassTarget, RankTarget, Target


def check_log_odds(model: Model) -> None:
    """Raise MethodNotApplicable where the outputs are no logits, or one that may be anything."""
    card = model.card
    listed = card.output == "logits" and len(card.outputs) == 1 and card.heads > 1
    if not listed and card.output not in ("binary", "multilabel"):
        raise MethodNotApplicable(
            f"head=log_odds needs logits of at least two classes, or of a yes and no; the output of this model is "
            f"{card.output} of the shape {list(card.outputs)}",
            pointer="/method/head",
            instead=[Instead(parameters={"head": "logit"})],
        )
    _check_class(model.targets)


def _check_class(wanted: Sequence[Target]) -> None:
    if any(not isinstance(target, ClassTarget | RankTarget) for target in wanted):
        raise MethodNotApplicable(
            "head=log_odds explains a class, and this target is none",
            pointer="/target",
            instead=[Instead(parameters={"head": "logit"}), Instead(target="argmax")],
        )


def log_odds(model: Model, batch: Batch) -> tuple[list[float], dict[int, Tensor], list[float]]:
    """The sum of the relevance of each row's class, that relevance at the logits, and the log-odds (S4 10.3.1).

    The log-odds log(P / (1 - P)) pool the differences z_c - z_c' of the class to every other, each weighted by p_c',
    the softmax over the other classes; a difference is shared between its two logits as LRP-0 would. So relevance
    starts as z_c at the class and -p_c' z_c' at the others. It sums to the log-odds plus the entropy of p. A logit of a
    yes and no is the log-odds itself.
    """
    logits = model.tape(batch).output
    _check_class(batch.targets)
    classes = [target.index for target in model.resolve(batch) if isinstance(target, ClassTarget)]
    if independent(model.card):
        scores, ones = model.start(batch)
        return scores.tolist(), {index: one * logits for index, one in ones.items()}, scores.tolist()
    chosen = torch.zeros_like(logits, dtype=torch.bool)
    chosen[torch.arange(len(logits)), classes] = True
    others = logits.masked_fill(chosen, -torch.inf)
    p = others.softmax(1)
    odds = logits[chosen] - others.logsumexp(1)
    sums = odds - torch.xlogy(p, p).sum(1)
    return sums.tolist(), {model.folded.output: torch.where(chosen, logits, -p * logits)}, odds.tolist()
