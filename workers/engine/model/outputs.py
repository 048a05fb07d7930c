"""What a model's numbers mean: their probabilities by the card's kind of output, and the refusal where they have none.

The one place where a softmax or a sigmoid is taken of outputs; a softmax is never taken over one value.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import Node
from torch.nn.functional import logsigmoid
from torch.special import entr

from workers.engine.compile.outputs import names
from workers.engine.graph.ops import VIEWS
from workers.engine.graph.rows import by_row, shares
from workers.engine.model import target_masks
from workers.explanation.card import ModelCard, Output
from workers.explanation.errors import Instead, InvalidTarget, MethodNotApplicable
from workers.explanation.target import ClassTarget, ElementTarget, MaskTarget, RankTarget, Target

SQUASHED = ("softmax", "_softmax", "sigmoid")
SUM = 1e-3  # how far from 1 the probabilities of classes that exclude each other may add up


def kind_of(program: ExportedProgram, select: int | str | None = None) -> Output:
    """What the graph shows of the kind of its output: a list after a softmax or a sigmoid, one logit, or logits.

    One number may also be a quantity, which only who made the model knows; so may numbers with places.
    """
    returned = program.graph.output_node().args[0]
    places = dict(names(program, len(returned)))
    node = returned[places.get(str(select), 0)]
    value = node.meta.get("val")
    if not isinstance(value, Tensor):
        return "logits"
    while _name(node) in VIEWS:
        node = node.args[0]
    if _name(node) in SQUASHED and value.dim() <= 2:
        return "probabilities"
    return "binary" if value.dim() and all(size == 1 for size in value.shape[1:]) else "logits"


def _name(node: Node) -> str:
    """The operator of a node of an exported program, as `softmax`; its placeholder's own name of an input."""
    return str(node.target).split(".")[1] if node.op == "call_function" and "." in str(node.target) else str(node.name)


def independent(card: ModelCard) -> bool:
    """Whether each number is a probability of its own: a sigmoid's, not a share of what all classes have."""
    return card.output in ("binary", "multilabel") or (card.output == "segmentation" and card.heads == 1)


def has_chances(card: ModelCard) -> bool:
    """Whether the card's outputs say how probable a class is; one logit of a card that calls it `logits` does not."""
    return card.output != "value" and (independent(card) or card.output == "probabilities" or card.heads > 1)


def chances(card: ModelCard, outputs: Tensor, axis: int = 1) -> Tensor:
    """The probability of each class at each place, shaped like the outputs; `axis` is that of the classes.

    Raises MethodNotApplicable for outputs that have none.
    """
    check_probability(card)
    if independent(card):
        return outputs.sigmoid()
    if card.output == "probabilities":
        return outputs
    if card.output == "evidence":
        alpha = outputs.clamp(min=0) + 1
        return alpha / alpha.sum(axis, keepdim=True)
    return outputs.softmax(axis)


def log_chances(card: ModelCard, outputs: Tensor) -> Tensor:
    """The logarithm of `chances`, in nats, from logits without a detour; of outputs that have some."""
    if independent(card):
        return logsigmoid(outputs)
    if card.output in ("logits", "segmentation"):
        return outputs.log_softmax(1)
    found = chances(card, outputs)
    return found.clamp(min=torch.finfo(found.dtype).tiny).log()


def by_class(values: Tensor) -> Tensor:
    """The values (n, classes, *places) as (n, classes, places), or those of a lone number a row (n,) as (n, 1, 1)."""
    return values.view(len(values), 1, 1) if values.dim() == 1 else values.reshape(*values.shape[:2], -1)


def class_chances(card: ModelCard, outputs: Tensor) -> Tensor | None:
    """The probability of each class (n, classes), the mean over its places; None of outputs that have none."""
    return by_class(chances(card, outputs)).mean(2) if has_chances(card) else None


def target_chances(card: ModelCard, wanted: Sequence[Target], outputs: Tensor) -> Tensor:
    """The probability of each row's target (n,), the mean over its places; InvalidTarget for what is no class."""
    check_probability(card, wanted)
    found = chances(card, outputs)
    return by_row(found * shares(target_masks.output_mask(wanted, found)))


def entropies(card: ModelCard, outputs: Tensor) -> tuple[Tensor, Tensor] | None:
    """Of outputs (samples, classes), in nats: the entropy of the mean probability, and the samples' mean entropy.

    Of classes that exclude each other, else the sum over classes of each one's yes and no. None where the outputs are
    no probabilities, or evidence, which is itself an opinion of how little is known.
    """
    found = None if card.output == "evidence" else class_chances(card, outputs)
    if found is None:
        return None
    alone = independent(card) or not sums_to_one(found)
    found = torch.stack([found, 1 - found], 2) if alone else found.unsqueeze(1)
    return entr(found.mean(0)).sum(), entr(found).sum((1, 2)).mean()


def sums_to_one(chances: Tensor) -> bool:
    """Whether probabilities (n, classes) are those of classes that exclude each other."""
    return bool(((chances.sum(1) - 1).abs() <= SUM).all())


def has_share(card: ModelCard, target: Target) -> bool:
    """Whether a target has a probability, in outputs that have some: a class, of a segmentation also one at a place."""
    if isinstance(target, ElementTarget):
        return card.output == "segmentation"
    return isinstance(target, ClassTarget | MaskTarget | RankTarget)


def check_probability(card: ModelCard, wanted: Sequence[Target] = ()) -> None:
    """Raise MethodNotApplicable where the outputs have no probability, InvalidTarget where a target has none."""
    logit = Instead(parameters={"score": "logit"})
    last = card.layers[-1].name if card.layers else "the last layer"
    if not has_chances(card):
        hint = (
            "is a value, of which there is no probability"
            if card.output == "value"
            else f"is one number that its card calls {card.output}, and a probability is one of two at least (for a "
            'logit whose sigmoid is the probability, [model] of card.toml says output = "binary")'
        )
        detail = f"the output of {card.name} ({last}) {hint}"
        raise MethodNotApplicable(detail, pointer="/method/score", instead=[logit])
    if not all(has_share(card, target) for target in wanted):
        raise InvalidTarget(
            f"a probability is that of a class, which this target is not ({last} gives the classes)",
            pointer="/target",
            instead=[logit, Instead(target="argmax")],
        )
