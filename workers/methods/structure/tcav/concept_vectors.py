"""Concept activation vectors: directions of a layer in which a concept lies, and how a class answers to them (TCAV).

No two vectors share an example. The paper fits all to the same examples of the concept, against others that vary: its
runs are not independent then, and any handful of random examples passes its test for a concept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import ttest_1samp, ttest_ind
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from workers.engine.data.examples import Choice, assigned
from workers.engine.data.labels import classes_of, labels_of
from workers.engine.data.streaming import items, nonempty
from workers.engine.graph.graph import Node
from workers.engine.layers.levels import levels
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.engine.model.outputs import class_chances
from workers.explanation.errors import InvalidParameter, MethodNotApplicable
from workers.explanation.target import ClassTarget

Floats = NDArray[np.float64]
Rows = NDArray[np.float32]
FEWEST = 3  # examples on each side of a vector
FEWEST_REPEATS = 2  # of which a test can be made


@dataclass(frozen=True)
class Concept:
    """What the vectors are fitted to: up to `examples` of the concept against as many random ones, `repeats` times."""

    concept: str
    random: str
    examples: int
    repeats: int
    seed: int


@dataclass(frozen=True)
class Vectors:
    """Unit vectors (repeats, length) towards the concept, and of random examples against others; how well they tell."""

    concept: Floats
    random: Floats
    accuracy: float
    random_accuracy: float


def concept_layer(model: Model, name: str | None) -> Node:
    """The named layer, or the last one that a layer with weights reads; raises MethodNotApplicable where none is."""
    output = model.folded.nodes[model.folded.output]
    found = levels(model, (), output) if name is None else levels(model, (name,), output)
    if len(found) < 2:
        raise MethodNotApplicable(
            "the output depends on no layer between it and the input, so there is none for a concept to lie in",
            pointer="/method",
        )
    return found[-2].node


def vectors(model: Model, batch: Batch, node: Node, concept: Concept) -> Vectors:
    """The concept's vectors, and as many of random examples in its place; raises InvalidParameter for too few."""
    counts = [nonempty(batch, name, f"/method/{field}").count for field, name in _datasets(concept)]
    repeats = concept.repeats
    size = min(concept.examples, counts[0] // repeats, counts[1] // (2 * repeats))
    if size < FEWEST:
        most = min(counts[0] // FEWEST, counts[1] // (2 * FEWEST))
        lower = f", or lower repeats to {most}" if most >= FEWEST_REPEATS else ""
        raise InvalidParameter(
            f"{repeats} vectors that share no examples need {FEWEST * repeats} examples of the concept and "
            f"{2 * FEWEST * repeats} random ones; there are {counts[0]} and {counts[1]}. Send more{lower}",
            pointer="/method/repeats",
        )
    generator = torch.Generator().manual_seed(concept.seed)
    ours, others = (
        _activations(model, batch, node, name, torch.randperm(count, generator=generator)[: parts * size])
        for (_, name), count, parts in zip(_datasets(concept), counts, (repeats, 2 * repeats), strict=True)
    )
    positive, chance, negative = (np.split(rows, repeats) for rows in (ours, *np.split(others, 2)))
    towards, nowhere = [], []
    for run in range(repeats):
        unseen = (run + 1) % repeats
        towards.append(_vector(positive[run], negative[run], positive[unseen], negative[unseen]))
        nowhere.append(_vector(chance[run], negative[run], chance[unseen], negative[unseen]))
        batch.report(run + 1, repeats, "concept vectors")
    return Vectors(
        np.stack([one for one, _ in towards]),
        np.stack([one for one, _ in nowhere]),
        float(np.mean([accuracy for _, accuracy in towards])),
        float(np.mean([accuracy for _, accuracy in nowhere])),
    )


def answers(model: Model, batch: Batch, node: Node, choice: Choice, found: Vectors) -> tuple[Floats, Floats, list[int]]:
    """The TCAV scores (classes, repeats) of the concept's vectors and of random ones, and the inputs of each class.

    A score is the share of a class's inputs whose logit rises along the vector. Raises InvalidParameter for a class
    that no input shows.
    """
    directions = torch.from_numpy(np.concatenate([found.concept, found.random])).to(model.device, model.dtype).T
    rises = {c: torch.zeros(directions.shape[1], dtype=torch.float64) for c in choice.classes}
    of_class: dict[int, int] = {}
    classes = classes_of(batch.resources.dataset(choice.dataset), model.card)
    for part in items(model, batch, choice.dataset):
        outputs = model.forward(part.x)
        given = assigned(len(part.x), class_chances(model.card, outputs), labels_of(part, classes), choice, of_class)
        for c in sorted({*given.tolist()} - {-1}):
            x = part.x[(given == c).to(part.x.device)]
            _, slopes = model.gradients(Batch(x, [ClassTarget(index=c)] * len(x)), [node.index])
            rises[c] += (slopes[node.index].flatten(1) @ directions > 0).sum(0).cpu()
        if choice.full(of_class):
            break
    for c in choice.classes:
        if not of_class.get(c):
            raise InvalidParameter(
                f"no item of the dataset {choice.dataset!r} shows class {c}; lower confidence, or name another dataset",
                pointer="/method/dataset",
            )
    scores = np.stack([(rises[c] / of_class[c]).numpy() for c in choice.classes])
    repeats = len(found.concept)
    return scores[:, :repeats], scores[:, repeats:], [of_class[c] for c in choice.classes]


def p_values(scores: Floats, random: Floats) -> tuple[float, float]:
    """Two-sided t-tests of scores: against one half, and against the scores of random vectors (Welch's)."""
    against_half = _against(scores, 0.5)
    if np.ptp(random) == 0:
        return against_half, _against(scores, float(random[0]))
    if np.ptp(scores) == 0:
        return against_half, _against(random, float(scores[0]))
    return against_half, float(ttest_ind(scores, random, equal_var=False).pvalue)


def _against(scores: Floats, mean: float) -> float:
    """The test of scores against a mean; those that never vary are equal to it or are not."""
    return float(scores[0] == mean) if np.ptp(scores) == 0 else float(ttest_1samp(scores, mean).pvalue)


def _datasets(concept: Concept) -> list[tuple[str, str]]:
    return [("concept", concept.concept), ("random", concept.random)]


def _activations(model: Model, batch: Batch, node: Node, dataset: str, drawn: Tensor) -> NDArray[np.float32]:
    """The layer's value of the items that were drawn (drawn, length), in the order that they were drawn in."""
    order = {number: row for row, number in enumerate(drawn.tolist())}
    found: dict[int, NDArray[np.float32]] = {}
    for part in items(model, batch, dataset):
        chosen = [i for i in range(len(part.x)) if part.start + i in order]
        if chosen:
            with torch.no_grad():
                value = model.folded.run(part.x[chosen], [node.index])[1][node.index]
            rows = model.folded.by_row(node.index, value).flatten(1).float().cpu().numpy()
            found |= {order[part.start + i]: row for i, row in zip(chosen, rows, strict=True)}
    return np.stack([found[row] for row in range(len(drawn))])


def _vector(ours: Rows, others: Rows, more: Rows, more_others: Rows) -> tuple[Floats, float]:
    """The unit vector across the boundary of a logistic regression, and its accuracy on what it was not fitted to."""
    values = np.concatenate([ours, others, more, more_others]).astype(np.float64)
    values /= np.sqrt((values**2).mean()) or 1.0  # else the penalty would weigh by the layer's scale
    truth = np.repeat([1, 0, 1, 0], len(ours))
    seen = 2 * len(ours)
    fitted = LogisticRegression(max_iter=1000).fit(values[:seen], truth[:seen])
    direction = np.asarray(fitted.coef_[0])
    length = np.linalg.norm(direction)
    return direction / (length if length > 0 else 1.0), float(fitted.score(values[seen:], truth[seen:]))
