"""Canonizers: rewrites of the exported graph that keep the function."""

from __future__ import annotations

from torch import fx

from workers.engine.graph import ops
from workers.explanation.errors import InvalidFolder


def functionalise(graph: fx.Graph) -> None:
    """Replace in-place calls (`relu_`) by their functional twins; later readers of the old value read the new one.

    Raises InvalidFolder where the written tensor is a view of another that is read later: no twin keeps that function.
    """
    for node in list(graph.nodes):
        twin = ops.functional_twin(node)
        if twin is None:
            continue
        written = node.args[0]
        order = {n: i for i, n in enumerate(graph.nodes)}
        for alias in sharing_memory(written, graph) - {written}:
            reader = next((user for user in alias.users if order[user] > order[node]), None)
            if reader is not None:
                raise InvalidFolder(
                    f"{node.name} writes in place into memory that {alias.name} shares and {reader.name} reads "
                    "afterwards; export the model with that line written without in-place assignment"
                )
        node.target = twin
        later = {user for user in written.users if order[user] > order[node]}
        written.replace_all_uses_with(node, delete_user_cb=later.__contains__)
    graph.lint()


def sharing_memory(node: fx.Node, graph: fx.Graph) -> set[fx.Node]:
    """The nodes whose value is the same memory as this node's: what it is a view of, and the views of that."""
    base = node
    while ops.name(base) in ops.ALIASING and isinstance(base.args[0], fx.Node):
        base = base.args[0]
    shared = {base}
    for other in graph.nodes:
        if ops.name(other) in ops.ALIASING and other.args[0] in shared:
            shared.add(other)
    return shared


def drop_identity(graph: fx.Graph) -> dict[fx.Node, fx.Node]:
    """Erase calls that return their input unchanged (dropout, detach, alias); says which node stands for each.

    What only asserts the type that the program was exported with goes too: the engine may run it in another.
    """
    stands: dict[fx.Node, fx.Node] = {}
    for node in list(graph.nodes):
        if ops.name(node) == "_assert_tensor_metadata":
            graph.erase_node(node)
        elif ops.is_identity(node):
            source = node.args[0]
            node.replace_all_uses_with(source)
            graph.erase_node(node)
            stands[node] = source
    graph.eliminate_dead_code()
    return stands
