"""Dependency graphs of inputs and of datasets: what the steps of a sensitivity analysis are fed with, and told as."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.engine.data.examples import Choice, assigned
from workers.engine.data.labels import classes_of, labels_of
from workers.engine.data.streaming import items
from workers.engine.graph.graph import Graph
from workers.engine.graph.tape import Tape
from workers.engine.layers.levels import levels
from workers.engine.model import target_masks
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.engine.model.outputs import class_chances
from workers.explanation.errors import Instead, InvalidParameter, InvalidTarget
from workers.explanation.target import RankTarget, Target, UnitTarget
from workers.methods.structure.ssa.walk import Dependencies, Steps, Values, Walk


@dataclass(frozen=True)
class Rules:
    """How the graph is walked: down which layers, from the output or its probability, and how at each step."""

    layers: Sequence[str]
    probability: bool
    walk: Walk


def of_inputs(model: Model, batch: Batch, rules: Rules) -> list[tuple[Steps, Dependencies]]:
    """The graph of each row's target, from that row alone; one forward pass serves all rows and steps."""
    tape, wanted = model.tape(batch), model.resolve(batch)
    steps = {index: _steps(model, index, rules) for index in {target_masks.node_of(t, model.folded) for t in wanted}}
    found = []
    for row, target in enumerate(wanted):
        one = steps[target_masks.node_of(target, model.folded)]
        values = _at(model.folded, tape, row, one.keep | one.keep_mixed)
        start = [(one.levels[-1].index, _unit(target, one))]

        def again(values: Values = values) -> Iterator[Values]:
            yield values

        def report(done: int, of: int, row: int = row) -> None:
            batch.report(row * of + done, len(wanted) * of, "steps")

        found.append((one, one.walk(start, one.statistics(values), again, rules.walk, report)))
    return found


def of_dataset(model: Model, batch: Batch, rules: Rules, choice: Choice) -> tuple[Steps, Dependencies]:
    """The graph of the classes, over the items of a dataset; raises InvalidParameter where none gives such a class."""
    steps = _steps(model, model.folded.output, rules)
    classes = steps.levels[-1].units
    if max(choice.classes) >= classes:
        raise InvalidParameter(f"the model has the classes 0 to {classes - 1}", pointer="/method/classes")
    gathered = gather(model, batch, steps, choice)
    if not gathered.x:
        raise InvalidParameter(
            f"no item of the dataset {choice.dataset!r} gives one of these classes a probability of "
            f"{choice.confidence:g}; lower confidence, or name a dataset that shows them",
            pointer="/method/dataset",
        )
    x = torch.cat(gathered.x)
    mixed = steps.keep_mixed

    def again() -> Iterator[Values]:
        for done, part in enumerate(torch.split(x, steps.rows)):
            batch.report(done * steps.rows, len(x), "inputs of a step")
            with torch.no_grad():
                _, values = model.folded.run(part, mixed)
            yield values

    start = [(steps.levels[-1].index, unit) for unit in sorted(set(choice.classes))]
    statistics = [torch.cat(parts) for parts in zip(*gathered.statistics, strict=True)]

    def report(done: int, of: int) -> None:
        batch.report(done, of, "steps")

    return steps, steps.walk(start, statistics, again, rules.walk, report)


def _at(graph: Graph, tape: Tape, row: int, keep: Set[int]) -> Values:
    """The values of one row of a tape; where rows are merged with something else, of a pass of its own."""
    if _by_first_axis(graph, {i: tape.values[i] for i in keep}):
        return {i: _of_rows(tape.values[i], torch.tensor([row]), len(tape.values[0])) for i in keep}
    with torch.no_grad():
        return graph.run(tape.values[0][row : row + 1], keep)[1]


def _by_first_axis(graph: Graph, values: Values) -> bool:
    """Whether rows can be picked from the values: none merges them with something, or counts them."""
    return all(graph.nodes[i].rows.plain and not isinstance(value, int) for i, value in values.items())


@dataclass
class Gathered:
    """The items that count, and what the steps need of each."""

    device: torch.device
    x: list[Tensor] = field(default_factory=list)
    statistics: list[list[Tensor]] = field(default_factory=list)
    of_class: dict[int, int] = field(default_factory=dict)

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """All of it, for another worker to go on from."""
        found = {"classes": np.array([*self.of_class.items()], np.int64).reshape(-1, 2)}
        if self.x:
            found["x"] = torch.cat(self.x).cpu().numpy()
            for i, parts in enumerate(zip(*self.statistics, strict=True)):
                found[f"statistic {i}"] = torch.cat(parts).cpu().numpy()
        return found

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Go on from what `arrays` returned."""
        self.of_class = {int(k): int(v) for k, v in arrays["classes"]}
        if "x" in arrays:
            self.x = [torch.from_numpy(arrays["x"]).to(self.device)]
            parts = [torch.from_numpy(arrays[f"statistic {i}"]) for i in range(len(arrays) - 2)]
            self.statistics = [[part.to(self.device) for part in parts]]


def gather(model: Model, batch: Batch, steps: Steps, choice: Choice) -> Gathered:
    """One pass over the dataset, as far as its items are wanted; those that bear other labels are not looked at."""
    found = Gathered(model.device)
    classes = classes_of(batch.resources.dataset(choice.dataset), model.card)
    for part in items(model, batch, choice.dataset, found, "inputs of the graph"):
        labels = labels_of(part, classes)
        for rows in torch.split(torch.arange(len(part.x)), steps.rows):
            borne = None if labels is None else labels[rows.numpy()]
            if borne is None or np.isin(borne, choice.classes).any():
                _look(model, steps, part.x[rows], borne, choice, found)
        if choice.full(found.of_class):
            break
    return found


def _look(
    model: Model, steps: Steps, x: Tensor, labels: NDArray[np.int64] | None, choice: Choice, found: Gathered
) -> None:
    with torch.no_grad():
        output, values = model.folded.run(x, steps.keep)
    given = assigned(len(x), class_chances(model.card, output), labels, choice, found.of_class)
    counted = (given >= 0).to(x.device)
    if counted.any():
        found.x.append(x[counted])
        if _by_first_axis(model.folded, values):
            values = {i: _of_rows(value, counted, len(x)) for i, value in values.items()}
        else:
            with torch.no_grad():
                _, values = model.folded.run(x[counted], steps.keep)
        found.statistics.append(steps.statistics(values))


def _of_rows(value: Any, rows: Tensor, count: int) -> Any:
    """The value of some of the rows of a pass; what is no tensor over rows stays."""
    return value[rows] if isinstance(value, Tensor) and value.dim() and len(value) == count else value


def _steps(model: Model, index: int, rules: Rules) -> Steps:
    return Steps(model, rules.layers, model.folded.nodes[index], rules.probability)


def check(model: Model) -> None:
    """Raise InvalidTarget where the model is asked about several units, or a part of one."""
    if any(not isinstance(t, UnitTarget | RankTarget) and target_masks.entry_of(t) is None for t in model.targets):
        raise InvalidTarget(
            "steps begin at one unit with all its places, which this target is not: a class without a mask is one, a "
            "number of a list, or a channel of a layer",
            pointer="/target",
            instead=[Instead(target="argmax"), Instead(target=0)],
        )


def _unit(target: Target, steps: Steps) -> int:
    """The unit that a target is (`check`)."""
    if isinstance(target, UnitTarget) and target.index is None and target.axis + 1 != steps.levels[-1].axis:
        raise InvalidTarget(
            f"the units of {target.layer} lie along another axis; send one unit by its index", pointer="/target"
        )
    if isinstance(target, UnitTarget):
        return target.channel or 0 if target.index is None else target.index[steps.levels[-1].axis - 1]
    unit = target_masks.entry_of(target)
    assert unit is not None
    return unit


def arrays(model: Model, found: Dependencies) -> dict[str, Tensor]:
    """Of every step, by its upper layer: the units that it goes down from, the counts, and where kept the omegas."""
    named: dict[str, Tensor] = {}
    for step in found.steps:
        layer = model.folded.nodes[step.top].layer
        named[f"{layer}.units"] = torch.tensor(step.units, dtype=torch.int32)
        named[f"{layer}.counts"] = step.counts
        if step.omega is not None:
            named[f"{layer}.omega"] = step.omega
    return named


def described(model: Model, steps: Steps, found: Dependencies) -> dict[str, Any]:
    """The graph as JSON: nodes from the top down, edges by their numbers, and the layers that they are of."""
    level_of = {level.index: at for at, level in enumerate(reversed(steps.levels))}
    units = sorted(found.frequency, key=lambda unit: (level_of[unit[0]], unit[1]))
    number = {unit: at for at, unit in enumerate(units)}
    output = model.folded.output
    nodes = [
        {
            "layer": model.folded.nodes[node].layer,
            "unit": unit,
            "label": model.card.label(unit) if node == output else None,
            "frequency": found.frequency[node, unit],
            "in_degree": found.in_degree((node, unit)),
        }
        for node, unit in units
    ]
    edges = [
        {
            "from": number[edge.top],
            "to": number[edge.below],
            "frequency": edge.count / found.images,
            "weight": edge.weight,
        }
        for edge in found.edges
    ]
    below = {step.top: [model.folded.nodes[i].layer for i in step.below] for step in found.steps}
    layers = [
        {
            "layer": level.node.layer,
            "units": level.units,
            "outliers": found.outliers.get(level.index),
            "below": below.get(level.index, []),
        }
        for level in reversed(steps.levels)
    ]
    return {"images": found.images, "layers": layers, "nodes": nodes, "edges": edges}


def frequencies(model: Model, names: Sequence[str], found: Dependencies) -> list[float]:
    """Of every unit of every level of the model, in order, its frequency in the graph; 0 of one that is not in it."""
    every = levels(model, names, model.folded.nodes[model.folded.output])
    return [found.frequency.get((level.index, unit), 0.0) for level in every for unit in range(level.units)]
