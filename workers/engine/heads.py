"""Heads: what relevance starts from at the output."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from workers.engine.batch import Batch
from workers.engine.model import Model
from workers.errors import Instead, MethodNotApplicable
from workers.target import ClassTarget, RankTarget, Target


def check_log_odds(model: Model) -> None:
    """Raise MethodNotApplicable where the outputs are no logits of two or more classes."""
    if model.card.output != "logits" or len(model.card.outputs) != 1 or model.card.outputs[0] < 2:
        raise MethodNotApplicable(
            f"head=log_odds needs logits of at least two classes; the output of this model is {model.card.output} of "
            f"the shape {list(model.card.outputs)}",
            pointer="/method/head",
            instead=[Instead(parameters={"head": "logit"})],
        )
    _check_class(model.asked)


def _check_class(wanted: Sequence[Target]) -> None:
    if any(not isinstance(target, ClassTarget | RankTarget) for target in wanted):
        raise MethodNotApplicable(
            "head=log_odds explains a class, and this target is none",
            pointer="/target",
            instead=[Instead(parameters={"head": "logit"}), Instead(target="argmax")],
        )


def log_odds(model: Model, batch: Batch) -> tuple[list[float], dict[int, Tensor]]:
    """The sum of the relevance of each row's class, and that relevance at the logits, for the log-odds (S4 10.3.1).

    The log-odds log(P / (1 - P)) pool the differences z_c - z_c' of the class to every other, each weighted by p_c',
    the softmax over the other classes; a difference is shared between its two logits as LRP-0 would. So relevance
    starts as z_c at the class and -p_c' z_c' at the others. It sums to the log-odds plus the entropy of p.
    """
    logits = model.tape(batch).output
    _check_class(batch.targets)
    classes = [target.index for target in model.resolve(batch) if isinstance(target, ClassTarget)]
    chosen = torch.zeros_like(logits, dtype=torch.bool)
    chosen[torch.arange(len(logits)), classes] = True
    others = logits.masked_fill(chosen, -torch.inf)
    p = others.softmax(1)
    odds_and_entropy = logits[chosen] - others.logsumexp(1) - torch.xlogy(p, p).sum(1)
    return odds_and_entropy.tolist(), {model.folded.output: torch.where(chosen, logits, -p * logits)}
