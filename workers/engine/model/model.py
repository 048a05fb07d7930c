"""Model: a function with its graph, and what can be propagated through it; nothing that it computes changes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Literal

import torch
from torch import Tensor

from workers.engine.compile.batch_norm import norm_folded_into
from workers.engine.compile.dropout import has_dropout
from workers.engine.compile.inputs import traced_shapes
from workers.engine.compile.precision import stored_types
from workers.engine.compile.program import Compiled, compile_program
from workers.engine.compile.row_independence import settle
from workers.engine.graph.embeddings import check_slope
from workers.engine.graph.graph import Graph, Node
from workers.engine.graph.reduced import reduced
from workers.engine.graph.tape import Tape
from workers.engine.model import prediction, target_masks, whole_pass
from workers.engine.model.batch import Batch, Outputs
from workers.engine.model.function import Function
from workers.engine.model.recorded_pass import Recorder
from workers.engine.model.rows_at_once import rows_in_memory
from workers.engine.model.sizes import NOT_TAKEN, first_taken, kept, not_taken
from workers.engine.rules import assign
from workers.engine.rules.backward import Observer, propagate
from workers.engine.rules.by_operation.passing import Gradient
from workers.engine.rules.entry import Table
from workers.engine.rules.rule import Rule, name_of
from workers.explanation.card import Precision
from workers.explanation.composite import DEFAULT, Choices
from workers.explanation.errors import Instead, InvalidParameter, InvalidTarget, methods
from workers.explanation.inputs import Shapes, is_open, of_laid, opened, other_sizes
from workers.explanation.names.spelling import meant
from workers.explanation.spec import ModelSpec, of_shapes
from workers.explanation.target import Target, UnitTarget


class Model(Function):
    """A function by its exported graph; explains nothing itself, but runs what methods ask for."""

    def __init__(
        self,
        spec: ModelSpec,
        compiled: Compiled,
        device: torch.device,
        dtype: torch.dtype,
        chunk: int | None,
        stored: tuple[str, ...] = (),
    ) -> None:
        card = prediction.card(spec, compiled.exported, dtype, stored, compiled.folded)
        super().__init__(card, device, dtype, chunk, rows=1 if compiled.exported.alone else None)
        self.spec = spec
        self.graph = compiled.exported
        self.folded = compiled.folded
        self.lookup = compiled.lookup
        self.tables = compiled.tables
        self._rules: dict[tuple[Table, Choices], dict[int, Rule]] = {}
        self._gradient = Gradient()
        self.recorder = Recorder(device)
        self._made: Callable[[Shapes], Model] | None = None
        self._reduced: dict[Precision, Model] = {}
        self.stochastic: Callable[[], Compiled] | None = None

    @classmethod
    def from_program(
        cls,
        spec: ModelSpec,
        program: torch.export.ExportedProgram,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        chunk: int | None = None,
    ) -> Model:
        """A model from its exported program; raises InvalidFolder where that is not one tensor in and one out.

        `chunk` is how many rows a method with many passes runs at once; it is measured where not given.
        """
        if is_open(spec.named):
            return cls._of_any_size(spec, program, device, dtype, chunk)
        place = torch.device(device)

        def compiled_as(dropout: bool) -> Compiled:
            found = compile_program(program, place, dtype, dropout, spec.laid, spec.select)
            taken = found.spec or spec.input
            row = torch.zeros(1, *taken.shape, device=place, dtype=dtype)
            return settle(found, row, prediction.input_range(taken, place, dtype, spec.laid))

        compiled = compiled_as(False)
        own = replace(spec, input=compiled.spec or spec.input)
        model = cls(own, compiled, place, dtype, chunk, stored_types(program))
        if has_dropout(program):
            model.stochastic = cache(partial(compiled_as, True))
        return model

    @classmethod
    def _of_any_size(
        cls,
        spec: ModelSpec,
        program: torch.export.ExportedProgram,
        device: str | torch.device,
        dtype: torch.dtype,
        chunk: int | None,
    ) -> Model:
        """The model for the sizes that it was traced with, which makes those for others as they are asked for."""

        @kept
        def made(shapes: Shapes) -> Model:
            return cls.from_program(of_shapes(spec, shapes), program, device, dtype, chunk)

        shapes = of_laid(spec.laid, traced_shapes(program, spec.fed))
        model = copy.copy(made(shapes))
        model.takes, model._made, model._reduced = spec.named, made, {}
        other = first_taken(made, other_sizes(shapes, spec.laid)) or model
        model.published = opened(model.card, other.card, spec.named)
        return model

    def sized(self, shapes: Shapes) -> Model:
        if self._made is None:
            return self
        try:
            found = self._made(shapes).at(self.precision)
        except NOT_TAKEN as error:
            raise not_taken(error, shapes, self.device) from None
        found.any_size = self
        return found

    def at(self, precision: Precision) -> Model:
        if precision == self.precision:
            return self
        found = self._reduced.get(precision) or self._reduced.setdefault(precision, self._in(precision))
        found.card = self.card.model_copy(update={"precision": precision})  # whose labels may have changed meanwhile
        return found

    def _in(self, precision: Precision) -> Model:
        found = copy.copy(self)
        found.precision, found._rules, found._chunk = precision, {}, self.rows
        found.recorder = Recorder(self.device)  # with other settings of the products
        whole = [graph.exact or graph for graph in (self.graph, self.folded)]
        found.graph, found.folded = map(reduced, whole) if precision == "bfloat16" else whole
        return found

    @property
    def ends(self) -> frozenset[int]:
        """The folded graph's nodes that the model is asked about: its output, or where the targets are read."""
        return frozenset(target_masks.node_of(t, self.folded) for t in self.targets) or frozenset({self.folded.output})

    @property
    def most(self) -> int | None:
        return rows_in_memory(self.folded, self.device)

    def give_back(self) -> bool:
        return self.recorder.give_back()

    def run(self, x: Tensor) -> Tensor:
        return self.graph.run(x)[0]

    def outputs(self, batch: Batch) -> Tensor:
        """What the model returns for the batch's inputs, from a pass already made where there is one."""
        tape, made = batch.cache.find(Tape), batch.cache.find(Outputs)
        return super().outputs(batch) if tape is None or made is not None else tape.output

    def tape(self, batch: Batch) -> Tape:
        """The batch's forward pass node by node, made once for all methods on these inputs; batch norm is folded."""
        return batch.cache.get(Tape, None, lambda: Tape(self.folded, batch.x))

    def scores(self, x: Tensor, wanted: Sequence[Target], probability: bool = False) -> Tensor:
        """The score of each row's target (n,), differentiable where x is; targets must be resolved.

        With `probability`, that of its class, the mean over its places; raises InvalidTarget for what is no class.
        """
        if probability or not target_masks.is_inside(wanted):
            return super().scores(x, wanted, probability)
        graph = self.graph_of(wanted)
        output, values = graph.run(x, {target_masks.node_of(t, graph) for t in wanted})
        values[graph.output] = output
        return target_masks.scores(target_masks.masks(wanted, graph, values), graph, values)

    def graph_of(self, wanted: Sequence[Target]) -> Graph:
        """The graph in which the targets are read: as exported, or of a step of a recurrent layer the unrolled one."""
        units = [target.layer for target in wanted if isinstance(target, UnitTarget)]
        return self.graph if all(map(self.graph.find, units)) else self.folded

    def gradient(self, x: Tensor, wanted: Sequence[Target]) -> tuple[Tensor, Tensor]:
        """The scores (n,) and their gradients at x, by one pass; targets must be resolved."""
        if target_masks.is_inside(wanted):
            scores, slopes = whole_pass.gradient_of(lambda at: self.scores(at, wanted), x)
        else:
            scores, slopes = whole_pass.gradient(self.graph, x, lambda _: wanted, self.recorder)
        if slopes is None:
            check_slope(self.graph)
            slopes = torch.zeros_like(x)
        return scores, slopes

    def start(self, batch: Batch) -> tuple[Tensor, dict[int, Tensor]]:
        """The scores (n,), and by node ones at what each row's target sums over: where a backward walk begins."""
        tape, wanted = self.tape(batch), self.resolve(batch)
        self.check_start(wanted)
        start = target_masks.masks(wanted, tape.graph, tape.values)
        return target_masks.scores(start, tape.graph, tape.values), start

    def check_start(self, wanted: Sequence[Target] | None = None) -> None:
        """Raise InvalidTarget where no backward walk begins: at a layer that batch norm is folded into."""
        for target in self.targets if wanted is None else wanted:
            for layer, norm in self.normed([target]):
                after = target.model_dump(mode="json", include={"channel", "token", "index"}, exclude_none=True)
                raise InvalidTarget(
                    f"{norm} is folded into {layer}, whose own value is not propagated from",
                    pointer="/target/layer",
                    instead=(
                        Instead(target={"layer": norm, **after}),
                        *methods("gradient", "input_times_gradient", "integrated_gradients"),
                    ),
                )

    def signal(self, batch: Batch, start: Literal["one", "score"]) -> dict[int, Tensor]:
        """By node what a backward walk begins with: ones where `start` has them, or the values there."""
        ones = self.start(batch)[1]
        return ones if start == "one" else {index: one * self.tape(batch).values[index] for index, one in ones.items()}

    def gradients(self, batch: Batch, to: Sequence[int] = (0,)) -> tuple[Tensor, dict[int, Tensor]]:
        """The scores (n,) and their gradients at the nodes in `to`, by row; by the tape where others share it."""
        if tuple(to) == (0,) and self.normed(batch.targets):
            scores, slopes = self.gradient(batch.x, self.resolve(batch))
            return scores, {0: slopes}
        if tuple(to) == (0,) and (once := whole_pass.gradient_once(self.folded, batch, self.resolve, self.recorder)):
            return once[0], {0: once[1]}
        scores, start = self.start(batch)
        tape = self.tape(batch)
        found = propagate(tape, start, lambda _: self._gradient, to)
        return scores, {index: tape.graph.by_row(index, slopes) for index, slopes in found.items()}

    def relevance(
        self,
        batch: Batch,
        start: Mapping[int, Tensor],
        table: Table,
        to: Sequence[int] = (0,),
        masks: Mapping[int, Tensor] | None = None,
        watch: Observer | None = None,
        choices: Choices = DEFAULT,
    ) -> dict[int, Tensor]:
        """The relevance at the nodes in `to`, by row, from that of the nodes in `start`, by a composite's table."""
        rules, tape = self.rules(table, choices), self.tape(batch)
        found = propagate(tape, start, lambda local: rules[local.node.index], to, masks, watch)
        return {index: tape.graph.by_row(index, relevance) for index, relevance in found.items()}

    def rules(self, table: Table, choices: Choices = DEFAULT) -> dict[int, Rule]:
        """The rule of every node under a composite, made once; where there is none, walking through it raises."""
        key = table, choices
        if key not in self._rules:
            self._rules[key] = assign.assign(self.folded, table, self.range(), choices)
        return self._rules[key]

    def check_rules(self, table: Table, choices: Choices = DEFAULT, to: int = 0) -> None:
        """Raise MethodNotApplicable where a node between `to` and what the model is asked about has no rule."""
        assign.check(self.folded, self.rules(table, choices), self.ends, to)

    def rules_by_layer(self, table: Table, choices: Choices = DEFAULT) -> dict[str, str]:
        """The name of the rule that each layer got under a composite, in the order of the graph."""
        rules = self.rules(table, choices)
        return {self.folded.nodes[i].layer: name_of(rule) for i, rule in rules.items()}

    def embedded(self, raw: Tensor) -> Tensor:
        """The model's tensors end to end (n, numbers), and of ids what embeddings look up, with room for the rest."""
        if self.lookup is None:
            return raw
        with torch.no_grad():
            found = self.lookup.run(raw)[0]
        missing = self.card.input.shape[0] - raw.shape[1] - found.shape[1]
        return torch.cat([raw, found, raw.new_zeros(len(raw), missing)], 1)

    def normed(self, wanted: Sequence[Target]) -> list[tuple[str, str]]:
        """The layers among the targets that batch norm is folded into, each with its norm."""
        layers = [target.layer for target in wanted if isinstance(target, UnitTarget)]
        return [(layer, norm) for layer in layers if (norm := self.norm_after(layer))]

    def norm_after(self, layer: str) -> str | None:
        """The batch norm folded into a layer, whose output is what a tape holds for that layer."""
        return norm_folded_into(layer, self.folded, self.graph)

    def layer(self, name: str) -> Node:
        """The node of a layer in the folded graph; raises InvalidParameter naming some that there are."""
        node = self.folded.find(name)
        if node is None:
            there = [layer.name for layer in self.card.layers]
            raise InvalidParameter(f"the model has no layer {name!r}; {meant(name, there)}", pointer="/method/layer")
        if not self.folded.offered()[node.index]:
            raise InvalidParameter(
                f"the value of the layer {name} is the same whatever the input; GET /api/v1/models/{self.card.name} "
                "lists those that depend on it",
                pointer="/method/layer",
            )
        return node
