"""A model with its dropout on: for every pass a twin whose masks are drawn anew."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from workers.engine.compile import attention_dropout
from workers.engine.compile.dropout import Dropout, drawn
from workers.engine.graph.graph import Graph, Node
from workers.engine.graph.rows import Rows
from workers.engine.model.model import Model
from workers.engine.model.recorded_pass import Recorder
from workers.explanation.errors import MethodNotApplicable


class Stochastic:
    """Draws twins of a model, which share all with it but their masks."""

    def __init__(self, model: Model) -> None:
        check(model)
        assert model.stochastic is not None
        compiled = model.stochastic()
        self.dropouts: tuple[Dropout, ...] = compiled.dropouts
        self._compiled = compiled
        self._model = copy.copy(model)
        self._model._rules = {}  # the nodes are others than the model's own
        self._model.recorder = Recorder(torch.device("cpu"))  # of a twin no pass comes again

    def twin(self, sources: Sequence[torch.Generator]) -> Model:
        """A model for as many rows as there are sources, each with the masks that its own draws next.

        Drawn for one row, it serves any number of them.
        """
        masks = {
            name: mask.to(self._model.device, self._model.dtype)
            for name, mask in drawn(self.dropouts, list(sources)).items()
        }
        twin = copy.copy(self._model)
        twin.graph = _masked(self._compiled.exported, masks)
        same = self._compiled.folded is self._compiled.exported
        twin.folded = twin.graph if same else _masked(self._compiled.folded, masks)
        return twin


def check(model: Model) -> None:
    """Raise MethodNotApplicable, with the remedy, where the export holds no dropout."""
    if model.stochastic is None:
        attends = next((node.layer for node in model.graph.nodes if node.op == attention_dropout.FUSED), None)
        lost = "" if attends is None else (
            f"; {attends} is attention, of whose dropout an export in evaluation mode keeps nothing unless whence "
            "export makes it"
        )  # fmt: skip
        raise MethodNotApplicable(
            "the exported graph holds no dropout to switch on: a net trained without has none, and run_decompositions "
            f"takes it out{lost}. Export the net with its nn.Dropout layers, in evaluation mode, by whence export",
            pointer="/method",
        )


def _masked(graph: Graph, masks: Mapping[str, Tensor]) -> Graph:
    nodes = (_product(node, masks[node.name]) if node.name in masks else node for node in graph.nodes)
    return replace(graph, nodes=tuple(nodes))


def _product(node: Node, mask: Tensor) -> Node:
    """The product with a mask by row; where rows share an axis, each row's part is multiplied."""
    rows = node.rows
    if rows.plain:
        return replace(node, args=(node.args[0], mask))
    if rows.axis is not None and rows.outer > 1 and rows.inner > 1:
        at = rows.axis + 1
        mask = mask.reshape(*mask.shape[:at], rows.outer, rows.inner, *mask.shape[at + 1 :])
    return replace(node, call=partial(_of_each, rows), args=(node.args[0], mask))


def _of_each(rows: Rows, value: Tensor, mask: Tensor) -> Tensor:
    """The value, what belongs to each row times the row's mask, or times the one that serves all."""
    return rows.join(rows.split(value) * mask)
