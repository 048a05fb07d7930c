"""Activation maximisation put together: what grows, from where, moved how, and what is told of the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from workers.engine.data import initial_inputs
from workers.engine.data.preview import Preview
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.engine.model.outputs import has_chances
from workers.explanation.card import InputSpec
from workers.explanation.errors import Instead, InvalidParameter, InvalidTarget, MethodNotApplicable
from workers.explanation.priors import Prior
from workers.explanation.request_target import parse_targets
from workers.explanation.target import ClassTarget, RankTarget, Target, UnitTarget
from workers.methods.synthesis.activation_maximization.ascent import Ascent, Objective, activations, terms
from workers.methods.synthesis.activation_maximization.learned_priors import learned_priors, with_graph
from workers.methods.synthesis.activation_maximization.priors import Priors, asks_for_items


@dataclass(frozen=True)
class Wish:
    """What is asked for: the parameters of activation_maximization."""

    also: tuple[tuple[Any, float], ...]
    selective: bool
    start: str
    dataset: str | None
    generator: str | None
    priors: tuple[Prior, ...]
    steps: int
    rate: float
    count: int
    diversity: float


class Made(NamedTuple):
    """Inputs (count, *shape), the objective at each step (count, steps), and what is told of them."""

    x: Tensor
    trace: Tensor
    info: dict[str, Any]


class Space(NamedTuple):
    """What is moved: where it starts, the inputs made of it, the length of its range, its bounds."""

    start: Tensor
    decode: Callable[[Tensor], Tensor]
    span: float
    bounds: tuple[Tensor, Tensor] | None
    info: dict[str, Any]


def make(model: Model, batch: Batch, wish: Wish) -> Made:
    """Inputs made up for the batch's target, by its first seed."""
    target, source = batch.targets[0], batch.generators()[0] if len(batch) else _source(batch)
    objective = Objective(model, terms(target, _also(model, wish.also)), wish.selective)
    space = _space(model, batch, wish, target, source)
    spec = model.card.input if wish.generator is None else InputSpec(shape=tuple(space.start.shape[1:]))
    learned = learned_priors(batch, wish.priors, spec)
    priors = Priors(wish.priors, model.card.input, initial_inputs.span(model), learned)
    asked = asks_for_items(wish.priors)
    items = initial_inputs.moments(model, batch, wish.dataset or "", target) if asked else None
    ascent = Ascent(
        objective,
        priors,
        space.decode,
        priors.penalty(items, wish.generator is not None),
        wish.rate * space.span,
        space.bounds,
        wish.diversity,
        wish.generator is not None,
    )
    preview = Preview(batch)

    def show(moved: Tensor) -> None:
        with torch.no_grad():
            preview(lambda: _decoded(model, space.decode, moved))

    moved, trace = ascent.run(space.start, wish.steps, batch.report, source, show)
    with torch.no_grad():
        first, last = (_decoded(model, space.decode, values) for values in (space.start, moved))
    before, after = (activations(objective, x) for x in (first, last))
    info = {
        "activation": [one[0] for one in after],
        "activation_at_start": [one[0] for one in before],
        "also": [one[1:] for one in after],
        "priors": [prior.kind for prior in wish.priors],
        **space.info,
    }
    return Made(last, trace, info)


def named(target: Target) -> Target:
    """The target; raises InvalidTarget for a rank, which no input has decided yet."""
    if isinstance(target, RankTarget):
        raise InvalidTarget(
            "activation_maximization makes an input up, so there is none yet whose classes could be ranked; name a "
            "class by its index or label, or a unit by its layer",
            pointer="/target",
            instead=[Instead(target=0)],
        )
    return target


def check(model: Model, target: Target, selective: bool) -> None:
    """Raise MethodNotApplicable where the target is neither a class that has a probability nor a unit of a layer."""
    listed = has_chances(model.card) and len(model.card.outputs) <= 1
    of_class = isinstance(target, ClassTarget) and listed
    if selective and not (of_class or isinstance(target, UnitTarget)):
        raise MethodNotApplicable(
            f"log_probability is of a unit of a layer, or of a class of a model that gives one list of logits or "
            f"probabilities; the output of {model.card.name} is {model.card.output} of the shape "
            f"{list(model.card.outputs)} and the target a {target.kind}",
            pointer="/method/score",
            instead=[Instead(parameters={"score": "activation"})],
        )


def _source(batch: Batch) -> torch.Generator:
    return torch.Generator().manual_seed(batch.seeds[0] if batch.seeds else 0)


def _also(model: Model, wanted: Sequence[tuple[Any, float]]) -> list[tuple[Target, float]]:
    found = []
    for i, (raw, weight) in enumerate(wanted):
        try:
            (target,) = parse_targets(raw, model.card)
        except InvalidTarget as error:
            raise InvalidParameter(error.detail, pointer=f"/method/also/{i}") from None
        found.append((target, weight))
    return found


def _space(model: Model, batch: Batch, wish: Wish, target: Target, source: torch.Generator) -> Space:
    if wish.generator is not None:
        return _code(model, with_graph(batch, wish.generator, "/method/generator"), wish.count, source)
    width, bounds, info = float(initial_inputs.span(model).mean()), model.range(), {}
    if wish.start == "noise":
        start = initial_inputs.noise(model, wish.count, source)
    elif wish.start == "mean":
        start = initial_inputs.moments(model, batch, wish.dataset or "", target).mean
    elif wish.start == "facets":
        seed = batch.seeds[0] if batch.seeds else 0
        start, info["items"] = initial_inputs.facets(model, batch, wish.dataset or "", target, wish.count, seed)
    else:
        start, info["items"] = initial_inputs.samples(model, batch, wish.dataset or "", target, wish.count, source)
    return Space(start, lambda x: x, width, bounds, info)


def _code(model: Model, generator: Model, count: int, source: torch.Generator) -> Space:
    """The space of a generator's codes; raises InvalidParameter where it does not make this model's inputs."""
    makes, takes = tuple(generator.card.outputs), tuple(model.card.input.shape)
    if makes != takes:
        raise InvalidParameter(
            f"{generator.card.name} returns the shape {list(makes)} and {model.card.name} takes {list(takes)}; a "
            "generator returns this model's own input",
            pointer="/method/generator",
        )
    codes = torch.randn(count, *generator.card.input.shape, generator=source).to(model.device, model.dtype)
    return Space(codes, lambda code: generator.graph.run(code)[0], 1.0, None, {"generator": generator.card.name})


def _decoded(model: Model, decode: Callable[[Tensor], Tensor], moved: Tensor) -> Tensor:
    return torch.cat([decode(part) for part in torch.split(moved, model.chunk)])
