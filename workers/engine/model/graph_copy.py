"""GraphCopy: a graph made anew from another, node by node, some changed and some added; the other stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from workers.engine.compile.program import Compiled
from workers.engine.graph.graph import Graph, Node, Ref, references
from workers.engine.model.model import Model
from workers.explanation.card import InputSpec

Edit: TypeAlias = Callable[["GraphCopy", Node], Ref]


@dataclass
class GraphCopy:
    """The nodes so far; `at` says where each old node's value is found now."""

    nodes: list[Node] = field(default_factory=list)
    at: dict[int, Ref] = field(default_factory=dict)

    def copied(self, node: Node, args: Sequence[Any] | None = None) -> Ref:
        """A node taken over; arguments given (references to new nodes) stand for its own."""
        args = tuple(self.moved(list(node.args)) if args is None else args)
        kwargs = {key: self.moved(value) for key, value in node.kwargs.items()}
        inputs = tuple(dict.fromkeys(references([*args, *kwargs.values()])))
        self.nodes.append(replace(node, index=len(self.nodes), args=args, kwargs=kwargs, inputs=inputs))
        return Ref(len(self.nodes) - 1)

    def added(
        self, name: str, call: Callable[..., Any], op: str, args: Sequence[Any], shape: tuple[int, ...], beside: Node
    ) -> Ref:
        """A new node, whose rows lie as in the node `beside`."""
        inputs = tuple(dict.fromkeys(references(list(args))))
        new = Node(len(self.nodes), name, name, (), op, call, tuple(args), {}, inputs, shape, rows=beside.rows)
        self.nodes.append(new)
        return Ref(len(self.nodes) - 1)

    def moved(self, argument: Any) -> Any:
        """An argument with its references to old nodes replaced."""
        if isinstance(argument, Ref):
            return self.at[argument.index]
        if isinstance(argument, list | tuple):
            return type(argument)(self.moved(item) for item in argument)
        return argument


def edited(graph: Graph, edit: Edit) -> Graph:
    """The graph with each node but the input as `edit` makes it; it says where the node's value is then."""
    graph_copy = GraphCopy()
    graph_copy.at[0] = graph_copy.copied(graph.nodes[0])
    for node in graph.nodes[1:]:
        graph_copy.at[node.index] = edit(graph_copy, node)
    return Graph(tuple(graph_copy.nodes), graph_copy.at[graph.output].index, graph.alone)


def variant(model: Model, graph: Graph, spec: InputSpec | None = None) -> Model:
    """A model of that graph, made of the folded one of another model, whose card it has but for the input.

    The rows that stand for usual inputs are the other's, too.
    """
    told = model.spec if spec is None else replace(model.spec, input=spec)
    found = Model(told, Compiled(graph, graph), model.device, model.dtype, model.chunk)
    found.background = model.background
    return found
