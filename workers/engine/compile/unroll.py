"""Recurrent layers unrolled in time: every linear map, gate, product and sum of a step becomes a node of its own.

So gradients, relevance and its conservation go step by step, as through any other layers (S4 ch. 11, l.3875).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import fx

from workers.engine.compile.constants import Constants
from workers.engine.compile.layer_names import Name
from workers.engine.compile.recurrent_cells import CELLS, State, Step, Weights, Writer
from workers.engine.graph import ops

aten = torch.ops.aten


def differentiable(graph: fx.Graph) -> None:
    """Make whole recurrent calls training ones without dropout: the same function, and one cuDNN can differentiate."""
    for node in graph.nodes:
        if ops.name(node) in CELLS and len(node.args) == 9:
            node.args = (*node.args[:5], 0.0, True, *node.args[7:])


def drops(node: fx.Node) -> bool:
    """Whether a recurrent call drops values between its layers when it trains, and its steps are known."""
    if ops.name(node) not in CELLS or len(node.args) != 9:
        return False
    return bool(node.args[5]) and cast(int, node.args[4]) > 1 and _is_fixed(node)


def unroll(graph: fx.Graph, constants: Constants, names: dict[fx.Node, Name]) -> None:
    """Unroll every recurrent call whose number of steps is fixed; what takes a result's place takes its name.

    What it drops between its layers becomes a dropout of each step.

    The new layers are called `rnn.l0.t3.gates` or `rnn.l0_reverse.t3.c`; those of a cell `cell.gates`.
    """
    made: dict[str, fx.Node] = {}
    for node in list(graph.nodes):
        cell = ops.name(node).removesuffix("_cell")
        if cell not in CELLS or not _is_fixed(node):
            continue
        write = Writer(graph, constants, names, node, _prefix(node, names), made)
        results = (_cell if ops.name(node).endswith("_cell") else _layers)(node, write)
        several = isinstance(node.meta["val"], list | tuple)
        for old in list(node.users) if several else [node]:
            new = results[cast(int, old.args[1])] if several else results[0]
            names[new] = Name(names[old].layer, (*names[old].aliases, names[new].layer))
            old.replace_all_uses_with(new)
            graph.erase_node(old)
        if several:
            graph.erase_node(node)
    graph.eliminate_dead_code()


def _is_fixed(node: fx.Node) -> bool:
    """Whether the call is a cell's, or one over a sequence whose length does not vary with the input."""
    if ops.name(node).endswith("_cell"):
        return True
    x = node.args[0]
    return len(node.args) == 9 and isinstance(x, fx.Node) and isinstance(x.meta["val"].shape[_time(node)], int)


def _time(node: fx.Node) -> int:
    """The axis of time."""
    return 1 if node.args[8] else 0


def _prefix(node: fx.Node, names: dict[fx.Node, Name]) -> str:
    """The module that makes the call, where one of its results goes by that; else the call's own name."""
    several = isinstance(node.meta["val"], list | tuple)
    results = [result for result in (*(node.users if several else ()), node) if result in names]
    layers = [names[result].layer for result in results]
    return next((layer for layer, one in zip(layers, results, strict=True) if layer != one.name), layers[0])


def _cell(node: fx.Node, write: Writer) -> State:
    arguments: tuple[Any, ...] = node.args
    x, before, *parts = arguments
    state = before if isinstance(before, list | tuple) else [before]
    cell = CELLS[ops.name(node).removesuffix("_cell")]
    return cell(write, Weights(write.constants, parts), x, state)


def _layers(node: fx.Node, write: Writer) -> Sequence[fx.Node]:
    """The output sequence, then the last states of all layers and directions."""
    arguments: tuple[Any, ...] = node.args
    x, before, parts, _, count, rate, _, bidirectional, _ = arguments
    states = before if isinstance(before, list | tuple) else [before]
    time = _time(node)
    directions = ("", "_reverse") if bidirectional else ("",)
    per = len(parts) // (count * len(directions))
    first = write(aten.select.int, x, time, 0, name="t0")
    rest = range(1, x.meta["val"].shape[time])
    sequence = [first, *(write(aten.select.int, x, time, t, name=f"t{t}", like=first) for t in rest)]
    last: list[State] = []
    for layer in range(count):
        sequences: list[list[fx.Node]] = []
        for direction in directions:
            k, within = len(last), write.within(f"l{layer}{direction}")
            start = [within(aten.select.int, state, 0, k, name=f"start{i}") for i, state in enumerate(states)]
            weights = Weights(write.constants, parts[k * per : (k + 1) * per])
            outputs, final = _run(within, CELLS[ops.name(node)], weights, sequence, start, bool(direction))
            sequences.append(outputs)
            last.append(final)
        sequence = sequences[0]
        if len(sequences) > 1:
            pairs = enumerate(zip(*sequences, strict=True))
            sequence = [write(aten.cat.default, list(pair), -1, name=f"l{layer}_both.t{t}") for t, pair in pairs]
        if rate and layer + 1 < count:
            steps = enumerate(sequence)
            sequence = [write(aten.dropout.default, h, rate, False, name=f"l{layer}_dropout.t{t}") for t, h in steps]
    finals = [write(aten.stack.default, list(s), 0, name=f"last{i}") for i, s in enumerate(zip(*last, strict=True))]
    return [write(aten.stack.default, sequence, time, name="y"), *finals]


def _run(
    write: Writer, cell: Step, weights: Weights, sequence: Sequence[fx.Node], state: State, backwards: bool
) -> tuple[list[fx.Node], State]:
    """The outputs of one layer in one direction, in the order of the sequence, and its last state."""
    outputs = list(sequence)
    for t in reversed(range(len(sequence))) if backwards else range(len(sequence)):
        state = cell(write.within(f"t{t}"), weights, sequence[t], state)
        outputs[t] = state[0]
    return outputs, state
