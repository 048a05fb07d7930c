"""Monte Carlo dropout: a method's attributions over passes that drop other units each time (S3 3.1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workers.engine.model import target_masks
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.engine.model.outputs import entropies
from workers.explanation.card import ModelCard
from workers.explanation.errors import Instead, MethodNotApplicable
from workers.explanation.target import ClassTarget
from workers.methods.extent import Extent
from workers.methods.method import Method
from workers.methods.nested.map_sums import MapSums
from workers.methods.uncertainty.mc_dropout.dropout_model import Stochastic


@dataclass(frozen=True)
class Observed:
    """What the samples of each row have shown; `classes` (n, count) are those that are looked at one by one.

    `by_class` has a slot for each, with `shares` (n, count) samples in it; `predicted` (n, count) said that class.
    """

    target: MapSums
    by_class: MapSums
    classes: Tensor
    shares: Tensor
    predicted: Tensor
    outputs: Tensor
    samples: int

    def arrays(self) -> dict[str, Tensor]:
        found = {"attribution": self.target.mean(self.samples), "std": self.target.std(self.samples)}
        if self.classes.numel():
            sums = self.by_class.sum
            shares = self.shares.clamp(min=1).view(-1, *[1] * (sums.dim() - 1)).to(sums)
            shape = (*self.classes.shape, *sums.shape[1:])
            found["by_class"] = self.by_class.mean(shares).view(shape)
            found["by_class_std"] = self.by_class.std(shares).view(shape)
            found["outputs"] = self.outputs.gather(2, self.classes[:, None].expand(-1, self.samples, -1))
        return found

    def info(self, model: Model, net: Stochastic) -> list[dict[str, Any]]:
        dropped = [{"layer": one.layer, "rate": one.rate} for one in net.dropouts]
        told: list[dict[str, Any]] = [{"samples": self.samples, "dropout": dropped} for _ in range(len(self.shares))]
        for row, info in enumerate(told if self.classes.numel() else []):
            outputs = self.outputs[row].double()
            info["classes"] = [
                {
                    "index": index,
                    "label": model.card.label(index),
                    "predicted": int(self.predicted[row, at]),
                    "mean": float(outputs[:, index].mean()),
                    "std": float(outputs[:, index].std(correction=0)),
                }
                for at, index in enumerate(self.classes[row].tolist())
            ]
            info |= uncertainty(model.card, outputs)
        return told


def uncertainty(card: ModelCard, outputs: Tensor) -> dict[str, float]:
    """Of outputs (samples, classes), in nats: the entropy of the mean probability, and how much of it is the model's.

    The rest, the mean entropy of each sample's own probability, more data of the same kind would not take away.
    Nothing of outputs that are no probabilities.
    """
    found = entropies(card, outputs)
    if found is None:
        return {}
    whole, own = found
    return {"entropy": float(whole), "mutual_information": float((whole - own).clamp(min=0))}


def observe(
    model: Model, net: Stochastic, batch: Batch, of: Method, samples: int, approach: str, count: int
) -> Observed:
    """The method on `samples` draws of the dropouts for each row; by class as the approach has it.

    A method of one pass sees many draws at once, each row with its own; any other sees them one by one.
    """
    wanted, sources = model.resolve(batch), batch.generators()
    classes = leading(model, batch, count) if approach != "target" else torch.zeros(len(batch), 0, dtype=torch.long)
    size, total = model.chunk if of.passes(Extent(model.card)) == 1 else 1, len(batch) * samples
    target, by_class = (MapSums(slots, model.card.input) for slots in (len(batch), classes.numel()))
    outputs = []
    shares, predicted = torch.zeros(classes.numel()), torch.zeros(classes.numel())
    for start in range(0, total, size):
        rows = torch.arange(start, min(start + size, total)) // samples
        twin = net.twin([sources[row] for row in rows])
        seeds = [getattr(of, "seed", 0)] * len(rows)
        inner = Batch(batch.x[rows], [wanted[row] for row in rows], seeds, resources=batch.resources)
        target.add(rows, of.explain(twin, inner).arrays["attribution"].double())
        if classes.numel():
            outputs.append(target_masks.totals(twin.outputs(inner).detach().cpu()))
            said = classes[rows] == outputs[-1].argmax(1, keepdim=True)
            slots = rows[:, None] * classes.shape[1] + torch.arange(classes.shape[1])
            predicted.index_add_(0, slots[said], torch.ones(int(said.sum())))
            for asked, slot, among in _questions(approach, classes[rows], outputs[-1].argmax(1), said, slots):
                other = inner.sharing([ClassTarget(index=index) for index in asked], seeds)
                values = of.explain(twin, other).arrays["attribution"]
                by_class.add(slot[among], values[among.to(values.device)].double())
                shares.index_add_(0, slot[among], torch.ones(int(among.sum())))
        batch.report(min(start + size, total), total, "samples")
    stacked = torch.cat(outputs).view(len(batch), samples, -1) if outputs else torch.zeros(())
    return Observed(
        target, by_class, classes, shares.view(classes.shape), predicted.view(classes.shape), stacked, samples
    )


def _questions(
    approach: str, classes: Tensor, winners: Tensor, said: Tensor, slots: Tensor
) -> Iterator[tuple[list[int], Tensor, Tensor]]:
    """For each walk back the class of every row, the slot of its map, and whether it has one.

    Approach 1 of the seed walks from the class that the sample predicts, Algorithm 1 from every class.
    """
    if approach == "predicted":
        yield winners.tolist(), slots[torch.arange(len(said)), said.int().argmax(1)], said.any(1)
        return
    for at in range(classes.shape[1]):
        yield classes[:, at].tolist(), slots[:, at], torch.ones(len(classes), dtype=torch.bool)


def check(model: Model, approach: str) -> None:
    """Raise MethodNotApplicable for an approach by class to a model without a list of classes."""
    if approach != "target" and (len(model.card.outputs) > 1 or model.card.output == "value"):
        raise MethodNotApplicable(
            f"looking at each class needs a model with a list of classes; the output of {model.card.name} is "
            f"{model.card.output}",
            pointer="/method/approach",
            instead=[Instead(parameters={"approach": "target"})],
        )


def leading(model: Model, batch: Batch, count: int) -> Tensor:
    """The classes that are highest for each row as the model is served, and its target's, (n, count), ascending.

    The model has a list of classes (`check`).
    """
    outputs = target_masks.totals(model.outputs(batch)).clone()
    for row, target in enumerate(model.resolve(batch)):
        if isinstance(target, ClassTarget):
            outputs[row, target.index] = torch.inf
    best = outputs.argsort(dim=1, descending=True, stable=True)[:, :count]
    return best.sort(1).values.cpu()
