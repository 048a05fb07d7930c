"""Gates: values that say how much of another passes (attention weights, squeeze-and-excitation, a norm's size)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

from workers.engine.graph import ops
from workers.engine.graph.embeddings import flows
from workers.engine.graph.graph import Graph, Node, references
from workers.explanation.composite import NamedGate
from workers.explanation.errors import InvalidParameter

_KEEPING = (
    ops.ROUTING | ops.AVERAGING | ops.MAX_POOLING | ops.ADDITION | ops.SCALING | ops.ELEMENTWISE
    | {"clamp", "clamp_min", "clamp_max"}
)  # fmt: skip
_MOVING = ops.ROUTING | {"neg"}


class Gates:
    """Which factors of each product are gates: those that `named` names, else those that the graph shows.

    In a product with another value they are held constant, as a layer's weights are. Where all factors look like gates,
    the first of these that tells them apart decides: one that the other is made of is the signal; one that also occurs
    as 1 - g is a gate; one that has been summed up, as a memory cell's state, is the signal; a softmax or a size is the
    gate of a squashed value; one that is repeated over places is a gate; and of two that are alike in all of it the
    first is the gate, as in the memory cell's i * z (S4 11.1).
    """

    def __init__(self, graph: Graph, named: Sequence[NamedGate] = ()) -> None:
        self.graph = graph
        self.flows = flows(graph)
        self.found = _found(graph, self.flows)
        self.users: list[list[Node]] = [[] for _ in graph.nodes]
        for node in graph.nodes:
            for i in node.inputs:
                self.users[i].append(node)
        self.chosen = self._named(named)

    def signals(self, node: Node, factors: Sequence[int]) -> Sequence[int]:
        """The factors that carry a product's relevance."""
        if len(factors) < 2:
            return factors
        if node.index in self.chosen:
            return [i for i in factors if i != self.chosen[node.index]]
        rest = [i for i in factors if i not in self.found]
        if rest:
            activated = self._activated(rest) if len(rest) == 2 else None
            return [i for i in rest if i != activated]
        gate = next((g for told in self._telling() if (g := told(*factors[:2])) is not None), factors[0])
        return [i for i in factors if i != gate]

    def _telling(self) -> Sequence[Callable[[int, int], int | None]]:
        """What tells the gate of two factors, surest first."""
        return (
            self._made_of,
            lambda a, b: _only(self._complemented, a, b),
            lambda a, b: _other(self._summed, a, b),
            lambda a, b: _only(self._weighing, a, b),
            self._repeated,
        )

    def _made_of(self, a: int, b: int) -> int | None:
        into_b, into_a = self.graph.reaches(self._origin(a), b), self.graph.reaches(self._origin(b), a)
        if into_b == into_a:
            return None
        return b if into_b else a

    def _origin(self, index: int) -> int:
        """Where a value was made that has only been moved about since."""
        node = self.graph.nodes[index]
        while node.op in _MOVING and len(sources := [i for i in node.inputs if self.flows[i]]) == 1:
            node = self.graph.nodes[sources[0]]
        return node.index

    def _complemented(self, index: int) -> bool:
        """Whether the value is 1 - g, or is also read so."""
        return _complements(self.graph.nodes[index]) or any(_complements(user) for user in self.users[index])

    def _summed(self, index: int) -> bool:
        node = self.graph.nodes[self._origin(index)]
        return node.op in ops.ADDITION and sum(self.flows[i] for i in node.inputs) > 1

    def _weighing(self, index: int) -> bool:
        return self.graph.nodes[self._origin(index)].op in ops.SHARING

    def _repeated(self, a: int, b: int) -> int | None:
        one, other = (self.graph.nodes[i].shape for i in (a, b))
        if one is None or other is None or _size(one) == _size(other):
            return None
        return a if _size(one) < _size(other) else b

    def _activated(self, factors: Sequence[int]) -> int | None:
        """Of two linear maps of one value the one that an activation follows, as in ReGLU, GEGLU and SwiGLU."""
        a, b = (self.graph.nodes[self._origin(i)] for i in factors)
        if (a.op in ops.RECTIFYING) == (b.op in ops.RECTIFYING):
            return None
        gate, signal = (a, b) if a.op in ops.RECTIFYING else (b, a)
        before = self.graph.nodes[self._origin(gate.inputs[0])]
        if not (
            before.op in ops.LINEAR
            and before.op == signal.op
            and self._origin(before.inputs[0]) == self._origin(signal.inputs[0])
        ):
            return None
        return factors[0] if gate is a else factors[1]

    def _named(self, named: Sequence[NamedGate]) -> dict[int, int]:
        """The gate of each product that a name tells it of; raises InvalidParameter for a name that tells nothing."""
        products = [node for node in self.graph.nodes if node.op in ops.PRODUCT and len(self._factors(node)) > 1]
        found: dict[int, int] = {}
        for name in named:
            told = {node.index: gate for node in products if (gate := self._gate_of(node, name)) is not None}
            if not told:
                some = ", ".join(node.layer for node in products[:8]) or "none"
                raise InvalidParameter(
                    f"no product {name.products!r} has a gate {name.gate!r}; products of two values of the input are "
                    f"{some}, and a gate is first, second, or the layer of one of their factors",
                    pointer="/method/gates",
                )
            found = {**told, **found}
        return found

    def _gate_of(self, node: Node, name: NamedGate) -> int | None:
        if not _called(node, name.products):
            return None
        first, second = self._factors(node)
        if name.gate in ("first", "second"):
            return first if name.gate == "first" else second
        matching = [i for i in (first, second) if self._passes(i, name.gate)]
        if len(matching) > 1:
            raise InvalidParameter(
                f"both factors of {node.layer} are called {name.gate!r}; say first or second", pointer="/method/gates"
            )
        return matching[0] if matching else None

    def _passes(self, index: int, pattern: str) -> bool:
        """Whether a value is that layer's, or has only been moved about since."""
        origin = self._origin(index)
        return _called(self.graph.nodes[index], pattern) or _called(self.graph.nodes[origin], pattern)

    def _factors(self, node: Node) -> list[int]:
        written = references(node.args if node.op == "einsum" else node.args[:2])
        return [i for i in dict.fromkeys(written) if self.flows[i]]


def _found(graph: Graph, flowing: Sequence[bool]) -> frozenset[int]:
    """Squashed values and sizes, and what is made of nothing but them."""
    found: set[int] = set()
    for node in graph.nodes[1:]:
        sources = [i for i in node.inputs if flowing[i]]
        if not flowing[node.index]:
            continue
        if _weighs(node, graph) or (node.op in _KEEPING and all(i in found for i in sources)):
            found.add(node.index)
    return frozenset(found)


def _weighs(node: Node, graph: Graph) -> bool:
    if node.op == "pow":
        exponent = node.args[1]
        return isinstance(exponent, int | float) and exponent < 0
    if node.op == "add" and len(node.inputs) == 1:  # 1 + tanh(x), as in a GELU written out
        return graph.nodes[node.inputs[0]].op == "tanh"
    return node.op in ops.WEIGHTING


def _complements(node: Node) -> bool:
    """Whether the node is a constant less a value."""
    if len(node.inputs) != 1 or node.op not in ("rsub", "sub"):
        return False
    return node.op == "rsub" or not list(references(node.args[0]))


def _only(told: Callable[[int], bool], a: int, b: int) -> int | None:
    """The one of both of which that is so."""
    return None if told(a) == told(b) else a if told(a) else b


def _other(told: Callable[[int], bool], a: int, b: int) -> int | None:
    """The one of both of which that is not so."""
    return None if told(a) == told(b) else b if told(a) else a


def _called(node: Node, pattern: str) -> bool:
    return any(fnmatchcase(name, pattern) for name in (node.layer, *node.aliases))


def _size(shape: Sequence[int]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size
