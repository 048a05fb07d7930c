"""Priors that are models themselves: one that gives a density, one that takes noise off (S3 eq. 3; S4 4.3-4.4)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.card import InputSpec
from workers.explanation.errors import InvalidParameter
from workers.explanation.priors import Density, Learned, Prior


@dataclass(frozen=True)
class LearnedPrior:
    """A prior with the model that it names."""

    prior: Learned
    model: Model

    def penalty(self, moved: Tensor) -> Tensor:
        """What is taken from the objective (n,): its gradient in what is moved is the prior's."""
        given = self.model.graph.run(moved)[0]
        if isinstance(self.prior, Density):
            return -self.prior.weight * given.reshape(len(moved))
        pull = (given - moved).detach() / self.prior.noise**2
        return -self.prior.weight * (pull * moved).flatten(1).sum(1)


def learned_priors(batch: Batch, chosen: Sequence[Prior], moved: InputSpec) -> tuple[LearnedPrior, ...]:
    """The learned ones among the priors, for what is moved.

    Raises InvalidParameter, naming the model, for one that takes another shape or colours otherwise, or gives no
    density or no such thing.
    """
    return tuple(
        LearnedPrior(prior, _fitting(batch, prior, f"/method/priors/{i}/model", moved))
        for i, prior in enumerate(chosen)
        if isinstance(prior, Learned)
    )


def with_graph(batch: Batch, name: str, pointer: str) -> Model:
    """The served model of that name; raises InvalidParameter for one that is computed on another server."""
    found = batch.resources.model(name)
    if not isinstance(found, Model):
        raise InvalidParameter(
            f"{found.card.name} is computed on another server, which gives its outputs and no gradients of them; name "
            "a model whose own folder is served here",
            pointer=pointer,
        )
    return found


def _fitting(batch: Batch, prior: Learned, pointer: str, moved: InputSpec) -> Model:
    found, shape = with_graph(batch, prior.model, pointer), moved.shape
    takes, gives = tuple(found.card.input.shape), tuple(found.card.outputs)
    if takes != shape:
        raise InvalidParameter(
            f"{found.card.name} takes the shape {list(takes)}, and what is moved has the shape {list(shape)}; name a "
            "model of that shape",
            pointer=pointer,
        )
    colours, own = _colours(found.card.input), _colours(moved)
    if colours and own and colours != own:
        raise InvalidParameter(
            f"{found.card.name} takes pictures with {_told(colours)}, and what is moved has {_told(own)}; name a model "
            "whose card says the same",
            pointer=pointer,
        )
    wanted = "one number" if isinstance(prior, Density) else f"the shape {list(shape)}"
    if math.prod(gives) != 1 if isinstance(prior, Density) else gives != shape:
        raise InvalidParameter(
            f"{found.card.name} returns the shape {list(gives)}; the prior {prior.kind} is of a model that returns "
            f"{wanted}",
            pointer=pointer,
        )
    return found


def _colours(spec: InputSpec) -> dict[str, Any]:
    """What the numbers of a picture stand for; nothing of other inputs."""
    return spec.image.model_dump(mode="json", include={"mode", "scale", "mean", "std"}) if spec.image else {}


def _told(colours: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in colours.items())
