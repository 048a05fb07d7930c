"""Graph: an exported model as a list of plain calls, in order, with its constants bound."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from workers.engine.graph import ops
from workers.engine.graph.norms import CALLS
from workers.engine.graph.rows import PLAIN, Rows


@dataclass(frozen=True, slots=True)
class Ref:
    """Stands in a call's arguments for the value of the node at `index`."""

    index: int


@dataclass(frozen=True, slots=True)
class Node:
    """One call: `op` is its ATen name, `layer` its public name, `inputs` what it reads, `shape` behind the first axis.

    `sizes` are all sizes of its value for one row, and `rows` says what of it belongs to each row of a batch. What is
    `between` is no layer of the model's own, but hands it an input.
    """

    index: int
    name: str
    layer: str
    aliases: tuple[str, ...]
    op: str
    call: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    inputs: tuple[int, ...]
    shape: tuple[int, ...] | None
    carries: bool = (
        True  # whether its value is made of float tensors that depend on what it reads: gradients flow there
    )
    sizes: tuple[int, ...] | None = None
    rows: Rows = PLAIN
    between: bool = False

    @property
    def part(self) -> tuple[int, ...] | None:
        """The shape of what belongs to each row."""
        return self.shape if self.rows.plain or self.sizes is None else self.rows.part(self.sizes)

    def run(self, values: Mapping[int, Any] | Sequence[Any]) -> Any:
        """The call, its references replaced by `values`."""
        call = CALLS.get(self.call, self.call)
        if not self.inputs:
            return call(*self.args, **self.kwargs)
        kwargs = {key: substitute(value, values) for key, value in self.kwargs.items()} if self.kwargs else {}
        return call(*[substitute(argument, values) for argument in self.args], **kwargs)


def substitute(argument: Any, values: Mapping[int, Any] | Sequence[Any]) -> Any:
    """An argument with its references replaced by values, at any depth of lists."""
    kind = type(argument)
    if kind is Ref:
        return values[argument.index]
    if kind is list or kind is tuple:
        return kind(substitute(item, values) for item in argument)
    return argument


def references(argument: Any) -> Iterable[int]:
    """The nodes that an argument refers to, in order."""
    if isinstance(argument, Ref):
        yield argument.index
    elif isinstance(argument, list | tuple):
        for item in argument:
            yield from references(item)


@dataclass(frozen=True)
class Graph:
    """Calls in order; the node at 0 is the input, `output` is the index of what the model returns.

    Of one that is `alone` a row's values depend on the other rows of the pass: it is run a row at a time. One whose
    products are `reduced` has the same graph in full precision as `exact`.
    Nothing in it changes after it is made, so that any number of threads may run it at once.
    """

    nodes: tuple[Node, ...]
    output: int
    alone: bool = False
    returned: Mapping[str, int] = field(default_factory=dict)  # of several outputs, the node of each by its name
    exact: Graph | None = field(default=None, repr=False, compare=False)
    affine: dict[int, bool] = field(init=False, default_factory=dict, compare=False)  # what `linearity` found out
    _last_use: dict[int, tuple[int, ...]] = field(init=False)
    _carriers: tuple[tuple[int, ...], ...] = field(init=False)  # by node, those that its value flows into
    _names: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        last = {i: node.index for node in self.nodes for i in node.inputs}
        frees: dict[int, list[int]] = {}
        for i, user in last.items():
            if i != self.output:
                frees.setdefault(user, []).append(i)
        object.__setattr__(self, "_last_use", {user: tuple(ids) for user, ids in frees.items()})
        carriers: list[list[int]] = [[] for _ in self.nodes]
        for node in self.nodes:
            for i in node.inputs if node.carries else ():
                carriers[i].append(node.index)
        object.__setattr__(self, "_carriers", tuple(map(tuple, carriers)))
        aliases = {alias: node.index for node in self.nodes for alias in node.aliases}
        own = {node.layer: node.index for node in self.nodes}
        object.__setattr__(self, "_names", {**aliases, **own})

    def find(self, layer: str) -> Node | None:
        """The node of that layer name or alias."""
        index = self._names.get(layer)
        return None if index is None else self.nodes[index]

    def run(self, x: Tensor, keep: Iterable[int] = ()) -> tuple[Tensor, dict[int, Tensor]]:
        """The output, and the values of the nodes in `keep`; what no later node reads is freed at once."""
        kept = set(keep)
        if self.alone and len(x) > 1:
            return self._one_by_one(x, kept)
        values: list[Any] = [None] * len(self.nodes)
        values[0] = x
        for node in self.nodes[1:]:
            value = node.run(values)
            # A part of the input that is held, as a context is: no gradient flows there.
            held = not node.carries and isinstance(value, Tensor) and value.requires_grad
            values[node.index] = value.detach() if held else value
            for i in self._last_use.get(node.index, ()):
                if i not in kept:
                    values[i] = None
        return values[self.output], {i: values[i] for i in kept}

    def _one_by_one(self, x: Tensor, kept: set[int]) -> tuple[Tensor, dict[int, Tensor]]:
        ran = [self.run(row, kept) for row in torch.split(x, 1)]
        values = {i: [self.by_row(i, values[i]) for _, values in ran] for i in kept}
        joined = {i: self.nodes[i].rows.join(torch.cat(parts)) for i, parts in values.items()}
        return torch.cat([output for output, _ in ran]), joined

    def depending(self) -> list[bool]:
        """For each node, whether the input's values flow into it, be it by comparisons and lookups."""
        found = [True] + [False] * (len(self.nodes) - 1)
        for node in self.nodes[1:]:
            found[node.index] = not node.op.startswith("sym_") and any(found[i] for i in node.inputs)
        return found

    def offered(self) -> list[bool]:
        """For each node, whether its value is of the input, and each row has a part of its own in it."""
        pairs = zip(self.nodes, self.depending(), strict=True)
        return [depends and not node.between and (self.alone or node.rows.axis is not None) for node, depends in pairs]

    def by_row(self, index: int, value: Tensor) -> Tensor:
        """A node's value, or what is shaped like it, with a row's part for each row: (n, *part)."""
        return self.nodes[index].rows.split(value)

    def each(self, xs: Sequence[Tensor]) -> Iterator[tuple[Node, list[Any]]]:
        """Every node but the input with its values for several inputs, which are run side by side."""
        runs: list[list[Any]] = [[x] + [None] * (len(self.nodes) - 1) for x in xs]
        for node in self.nodes[1:]:
            for values in runs:
                values[node.index] = node.run(values)
            yield node, [values[node.index] for values in runs]
            for values in runs:
                for i in self._last_use.get(node.index, ()):
                    values[i] = None

    def reaching(self, start: int) -> Sequence[bool]:
        """For each node, whether the value of `start` flows into it."""
        return self._of_input if start == 0 else self._reached(start, len(self.nodes))

    def reaches(self, start: int, end: int) -> bool:
        """Whether the value of one node flows into another; what lies behind that is not looked at."""
        return start <= end and self._reached(start, end + 1)[end]

    @cached_property
    def looks_up(self) -> bool:
        """Whether it has an embedding."""
        return any(node.op in ops.EMBEDDING for node in self.nodes)

    @cached_property
    def _of_input(self) -> Sequence[bool]:
        return self._reached(0, len(self.nodes))

    def fed(self, sources: Collection[int]) -> list[bool]:
        """For each node, whether the value of one of `sources` other than itself flows into it."""
        found = [False] * len(self.nodes)
        for node in self.nodes[1:]:
            found[node.index] = node.carries and any(found[i] or i in sources for i in node.inputs)
        return found

    def _reached(self, start: int, stop: int) -> Sequence[bool]:
        """For each node before `stop`, whether the value of `start` flows into it."""
        reached = bytearray(stop)
        reached[start] = 1
        waiting = [start]
        while waiting:
            for user in self._carriers[waiting.pop()]:
                if user < stop and not reached[user]:
                    reached[user] = 1
                    waiting.append(user)
        return list(map(bool, reached))

    def varying(self) -> list[bool]:
        """For each node, whether its value, and not its shape alone, depends on the input, by whatever steps.

        What is held is the same whatever a method makes of the input.
        """
        varies = [True] + [False] * (len(self.nodes) - 1)
        for node in self.nodes[1:]:
            read = [] if node.op in ops.SHAPES else references(node.args[0]) if node.op in ops.LIKE else node.inputs
            held = node.between and not node.carries
            varies[node.index] = not held and any(varies[i] for i in read)
        return varies

    def leading(self, ends: Iterable[int]) -> list[bool]:
        """For each node, whether its value flows into one of `ends`, or it is one."""
        found = [False] * len(self.nodes)
        for index in ends:
            found[index] = True
        for node in reversed(self.nodes):
            if found[node.index] and node.carries:
                for i in node.inputs:
                    found[i] = True
        return found


def is_float(value: Any) -> bool:
    """Whether gradients and relevance may flow through the value."""
    return isinstance(value, torch.Tensor) and (value.is_floating_point() or value.is_complex())
