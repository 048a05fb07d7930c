"""One step of each recurrent cell, written into a graph as plain calls."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor, fx

from workers.engine.compile.constants import Constants, add_constant
from workers.engine.compile.layer_names import Name
from workers.engine.rules.linear import total

aten = torch.ops.aten
State: TypeAlias = Sequence[fx.Node]
INPUT, HIDDEN = 0, 1


@dataclass(frozen=True)
class Writer:
    """Writes calls into a graph before one of its nodes, each with its layer name and the shape of its value.

    `made` holds the constants by name and `shaped` what calls on values of some shapes return: steps are alike.
    """

    graph: fx.Graph
    constants: Constants
    names: dict[fx.Node, Name]
    before: fx.Node
    prefix: str
    made: dict[str, fx.Node]
    shaped: dict[str, Any] = field(default_factory=dict)

    def within(self, name: str) -> Writer:
        """A writer of layers whose names begin with the name."""
        return replace(self, prefix=f"{self.prefix}.{name}")

    def __call__(self, target: Callable[..., Any], *args: Any, name: str, like: fx.Node | None = None) -> fx.Node:
        """A call, whose value has the shape of that of `like` where that is given."""
        with self.graph.inserting_before(self.before):
            node = self.graph.call_function(target, args)
        node.meta = {"val": self._returned(target, args) if like is None else like.meta["val"]}
        self.names[node] = Name(f"{self.prefix}.{name}", ())
        return node

    def constant(self, name: str, value: Callable[[], Tensor]) -> fx.Node:
        """The constant of that name, made once."""
        if name not in self.made:
            self.made[name] = add_constant(self.graph, self.constants, name, value())
        return self.made[name]

    def _returned(self, target: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        values = fx.map_arg(args, self._value)
        key = f"{target} {fx.map_arg(args, lambda read: _shape(read.meta['val']))}"
        if key not in self.shaped:
            self.shaped[key] = target(*values)
        return self.shaped[key]

    def _value(self, node: fx.Node) -> Any:
        """A value of the node's shape, for what is called on it to tell its own."""
        if "val" not in node.meta:
            like = self.before.args[0]
            assert isinstance(like, fx.Node)
            node.meta["val"] = like.meta["val"].new_empty(self.constants[node.name].shape)
        return node.meta["val"]


def _shape(value: Any) -> Any:
    return tuple(value.shape) if isinstance(value, Tensor) else [_shape(item) for item in value]


class Weights:
    """The constants of one layer and direction: for the input and for the state weights, then biases or none.

    A layer that projects its output has the weight of that at the end.
    """

    def __init__(self, constants: Constants, parts: Sequence[fx.Node | None]) -> None:
        given = [part for part in parts if part is not None]
        self.name = given[0].name
        self.projection = given.pop() if len(given) % 2 else None
        values = [constants[part.name] for part in given]
        self.weights, self.biases = values[:2], values[2:]
        self.hidden = values[1].shape[0]

    def affine(self, write: Writer, name: str, values: Mapping[int, fx.Node], rows: slice = slice(None)) -> fx.Node:
        """One linear node over the input, the state, or both, side by side: these rows of all their weights."""
        joined = next(iter(values.values()))
        if len(values) > 1:
            joined = write(aten.cat.default, list(values.values()), -1, name=f"{name}_reads")
        weight = write.constant(f"{self.name}_{name}", lambda: torch.cat([self.weights[k][rows] for k in values], 1))
        if not self.biases:
            return write(aten.linear.default, joined, weight, name=name)
        bias = write.constant(f"{self.name}_{name}_bias", lambda: total(self.biases[k][rows] for k in values))
        return write(aten.linear.default, joined, weight, bias, name=name)


Step: TypeAlias = Callable[[Writer, Weights, fx.Node, State], State]


def lstm(write: Writer, weights: Weights, x: fx.Node, state: State) -> State:
    """c' = sigmoid(f) c + sigmoid(i) tanh(g), h' = sigmoid(o) tanh(c'), projected where the layer projects."""
    h, c = state
    i, f, g, o = _parts(write, weights.affine(write, "gates", {INPUT: x, HIDDEN: h}), 4)
    kept = write(aten.mul.Tensor, write(aten.sigmoid.default, f, name="f"), c, name="kept")
    gate, signal = write(aten.sigmoid.default, i, name="i"), write(aten.tanh.default, g, name="g")
    c = write(aten.add.Tensor, kept, write(aten.mul.Tensor, gate, signal, name="written"), name="c")
    gate, signal = write(aten.sigmoid.default, o, name="o"), write(aten.tanh.default, c, name="shown")
    h = write(aten.mul.Tensor, gate, signal, name="h")
    if weights.projection is not None:
        h = write(aten.linear.default, h, weights.projection, name="projected")
    return h, c


def gru(write: Writer, weights: Weights, x: fx.Node, state: State) -> State:
    """n = tanh(W x + sigmoid(r) U h), h' = sigmoid(-z) n + sigmoid(z) h; what torch writes as 1 - z is sigmoid(-z)."""
    (h,) = state
    third = weights.hidden // 3
    gates, rest = slice(2 * third), slice(2 * third, None)
    r, z = _parts(write, weights.affine(write, "gates", {INPUT: x, HIDDEN: h}, gates), 2)
    past = weights.affine(write, "past", {HIDDEN: h}, rest)
    recalled = write(aten.mul.Tensor, write(aten.sigmoid.default, r, name="r"), past, name="recalled")
    fresh = weights.affine(write, "fresh", {INPUT: x}, rest)
    n = write(aten.tanh.default, write(aten.add.Tensor, fresh, recalled, name="sum"), name="n")
    gate = write(aten.sigmoid.default, write(aten.neg.default, z, name="away"), name="one_minus_z")
    written = write(aten.mul.Tensor, gate, n, name="written")
    kept = write(aten.mul.Tensor, write(aten.sigmoid.default, z, name="z"), h, name="kept")
    return (write(aten.add.Tensor, written, kept, name="h"),)


def _elman(activation: Callable[..., Any]) -> Step:
    def step(write: Writer, weights: Weights, x: fx.Node, state: State) -> State:
        return (write(activation, weights.affine(write, "sum", {INPUT: x, HIDDEN: state[0]}), name="h"),)

    return step


def _parts(write: Writer, z: fx.Node, count: int) -> list[fx.Node]:
    parts = write(aten.chunk.default, z, count, -1, name="parts")
    return [write(operator.getitem, parts, k, name=f"part{k}") for k in range(count)]


CELLS: dict[str, Step] = {
    "lstm": lstm,
    "gru": gru,
    "rnn_tanh": _elman(aten.tanh.default),
    "rnn_relu": _elman(aten.relu.default),
}
