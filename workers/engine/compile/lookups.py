"""Lookups: which of an input's ids each embedding takes: all of them, some columns, or some that share a table."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NoReturn, TypeAlias

import torch
from torch import Tensor, fx

from workers.engine.graph import ops
from workers.explanation.errors import InvalidFolder

aten = torch.ops.aten
ROWS = 2  # of a batch of any size
SAME = frozenset({"to", "_to_copy", "contiguous", "clone", "alias", "detach", "lift_fresh_copy"})
MOVES = ops.VIEWS | {"cat", "stack", "flip", "roll"}
SHIFTS = ops.ADDITION | {"mul", "remainder", "clamp", "clamp_min", "clamp_max", "minimum", "maximum"}
Places: TypeAlias = dict[fx.Node, Any]  # by node, which ids its value (or each of its values) holds, rows numbered on


@dataclass(frozen=True)
class Lookup:
    """An embedding, the shape of what it looks up as a part of the list, and of which ids its vectors are.

    `places` are None where they are all of the input's, in their order.
    """

    node: fx.Node
    shape: tuple[int, ...]
    places: tuple[int, ...] | None


def lookups(name: str, source: fx.Node, sources: Sequence[fx.Node], *, columns: bool = True) -> list[Lookup]:
    """The embeddings that take an input's ids, one vector for each, in the graph's order.

    Those of some columns are found where these may be; raises InvalidFolder where there are none, or where columns are
    numbers beside others that are ids.
    """
    placed = _rows_first(source, sources)
    taken = [
        (node, placed[node.args[1]])
        for node in source.graph.nodes
        if ops.name(node) == "embedding" and node.args[1] in placed
    ]
    known = [_lookup(node, at, source) for node, at in taken]
    found = [one for one in known if one is not None and (columns or one.places is None)]
    if not found:
        _check_found(name, source)
    _check_numbers(name, source, placed, found)
    _check_tables(name, source, found)
    return found


def _check_found(name: str, source: fx.Node) -> NoReturn:
    """Raise InvalidFolder for ids of which no embedding has one vector for each of a row's own."""
    varying = _varying([source])
    nodes = [node for node in source.graph.nodes if ops.name(node) == "embedding" and node.args[1] in varying]
    if nodes:
        raise InvalidFolder(
            f"the embedding {nodes[0].name} does not take the ids of the input {name} as they come: what it looks up, "
            f"{nodes[0].args[1]}, is made of them and is not each row's own ids, once each, so nothing would be said "
            "of them; look the ids up as they come, and reshape, repeat or move the vectors, or say held = true where "
            "the ids are context"
        )
    raise InvalidFolder(
        f"the ids of the input {name} are taken by no embedding of one vector for each, so there is nothing to "
        "explain of them; say held = true where they are context, or hand in what is looked up, or let them be a "
        'table (kind = "table", no dtype) with categories and a background, by which methods that alter columns '
        "explain"
    )


def _rows_first(source: fx.Node, sources: Sequence[fx.Node]) -> Places:
    """Where ids are, once those embeddings have rows first that took them time first, or in one row.

    What such an embedding looks up is then moved to where it was: the rest of the graph has it so.
    """
    placed, moved = _placed(source, sources), False
    whole = placed[source]
    for node, at in [(node, placed.get(node.args[1])) for node in source.graph.nodes if ops.name(node) == "embedding"]:
        if not isinstance(at, Tensor) or _are_rows(at, source):
            continue
        if (axis := _axis(at, lambda one: _are_rows(one, source))) is not None:
            _move_rows(node, axis)
            moved = True
        elif (axis := _axis(whole, lambda one: torch.equal(one.flatten(), at.flatten()))) is not None:  # noqa: B023
            _in_shape(node, source, axis)
            moved = True
    return _placed(source, sources) if moved else placed


def _axis(ids: Tensor, fits: Callable[[Tensor], bool]) -> int | None:
    """Which axis of ids is to change places with the first one, that they fit; 0 where none has to."""
    return next((axis for axis in range(ids.dim()) if fits(ids.transpose(0, axis))), None)


def _in_shape(node: fx.Node, source: fx.Node, axis: int) -> None:
    """Let an embedding take ids in the shape that they came in, which it took in another, rows and `axis` swapped."""
    graph, ids, value = node.graph, node.args[1], node.meta["val"]
    assert isinstance(ids, fx.Node)
    shape = source.meta["val"].transpose(0, axis).shape
    with graph.inserting_before(node):
        shaped = graph.call_function(aten.reshape.default, (ids, _but_rows(shape)))
        shaped.meta = {"val": ids.meta["val"].reshape(shape)}
    with graph.inserting_after(node):
        after = graph.call_function(aten.reshape.default, (node, _but_rows(value.shape)))
        after.meta = {"val": value}
    node.replace_all_uses_with(after, delete_user_cb=lambda user: user is not after)
    node.args = (node.args[0], shaped, *node.args[2:])
    node.meta = {**node.meta, "val": value.reshape(*shape, value.shape[-1])}
    if axis:
        _move_rows(node, axis)


def _but_rows(shape: Sequence[int | torch.SymInt]) -> list[int]:
    """A shape to be taken, where what hangs on the number of rows is what is left."""
    return [-1 if isinstance(size, torch.SymInt) else size for size in shape]


def _move_rows(node: fx.Node, axis: int) -> None:
    graph, ids, value = node.graph, node.args[1], node.meta["val"]
    assert isinstance(ids, fx.Node)
    with graph.inserting_before(node):
        first = graph.call_function(aten.transpose.int, (ids, 0, axis))
        first.meta = {"val": ids.meta["val"].transpose(0, axis)}
    with graph.inserting_after(node):
        after = graph.call_function(aten.transpose.int, (node, 0, axis))
        after.meta = {"val": value}
    node.replace_all_uses_with(after, delete_user_cb=lambda user: user is not after)
    node.args = (node.args[0], first, *node.args[2:])
    node.meta = {**node.meta, "val": value.transpose(0, axis)}


def _placed(source: fx.Node, sources: Sequence[fx.Node]) -> Places:
    """What holds the ids of the input alone, moved about or shifted, as ids of several tables in one are."""
    rows, sizes = _rows(source), source.meta["val"].shape[1:]
    found: Places = {source: torch.arange(rows * prod(sizes)).view(rows, *sizes)}
    varying = _varying(sources)
    for node in source.graph.nodes:
        read = [one for one in node.all_input_nodes if one in found]
        others = [one for one in node.all_input_nodes if one not in found]
        if not read or any(one in varying for one in others):
            continue
        called = ops.name(node)
        value = None
        if called in SAME:
            value = found[read[0]]
        elif called in MOVES and all(isinstance(one.meta.get("val"), torch.SymInt) for one in others):
            value = _moved(node, found, source)
        elif called in SHIFTS and len(read) == 1:
            value = _shifted(found[read[0]], others)
        if value is not None:
            found[node] = value
    return found


def _varying(sources: Sequence[fx.Node]) -> set[fx.Node]:
    """The tensors that hang on the values of inputs."""
    found, waiting = set(sources), list(sources)
    while waiting:
        for user in waiting.pop().users:
            if user not in found and ops.name(user) not in ops.SHAPES:
                found.add(user)
                waiting.append(user)
    return found


def _moved(node: fx.Node, found: Places, source: fx.Node) -> Any:
    def value_of(read: fx.Node) -> Any:
        return found[read] if read in found else _size(read.meta["val"], source)

    call: Any = node.target
    try:
        return call(*fx.map_arg(node.args, value_of), **fx.map_arg(node.kwargs, value_of))
    except (RuntimeError, TypeError, ValueError, IndexError):  # such as sizes that hang on more than the rows
        return None


def _shifted(ids: Any, others: Sequence[fx.Node]) -> Tensor | None:
    shapes = [one.meta["val"].shape for one in others if isinstance(one.meta.get("val"), Tensor)]
    if len(shapes) < len(others) or not isinstance(ids, Tensor):
        return None
    if not all(isinstance(size, int) for shape in shapes for size in shape):
        return None
    return sum((ids.new_zeros(shape) for shape in shapes), ids)  # of the shape that the shifted ones have


def _rows(source: fx.Node) -> int:
    size = source.meta["val"].shape[0]
    return size if isinstance(size, int) else ROWS


def smallest_table(source: fx.Node, constants: Mapping[str, Any]) -> int:
    """Below which number an input of whole numbers is in all tables, behind the rows that are added to it; else 2."""
    sizes, seen, waiting = [2**31], set[fx.Node](), [(source, 0)]
    while waiting:
        node, added = waiting.pop()
        for user in node.users:
            if ops.name(user) == "embedding" and user.args[1] is node and isinstance(user.args[0], fx.Node):
                sizes.append(int(user.args[0].meta["val"].shape[0]) - added)
            elif user not in seen and "val" in user.meta and not _is_float(user.meta["val"]):
                seen.add(user)
                waiting.append((user, added + _added(user, node, constants)))
    return max(1, min(sizes)) if len(sizes) > 1 else 2


def _added(call: fx.Node, node: fx.Node, constants: Mapping[str, Any]) -> int:
    """The most that a call adds to whole numbers, as the rows of the tables before each column's."""
    if ops.name(call) != "add":
        return 0
    other: Any = call.args[1] if call.args[0] is node else call.args[0]
    while isinstance(other, fx.Node) and ops.name(other).removesuffix("_") in SAME | ops.VIEWS:
        other = other.args[0]
    value = constants.get(other.name) if isinstance(other, fx.Node) else other
    most = value.max().item() if isinstance(value, Tensor) and value.numel() else value
    return most if isinstance(most, int) else 0


def _is_float(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _size(value: torch.SymInt, source: fx.Node) -> int:
    batch = source.meta["val"].shape[0]
    return int(value.node.expr.subs(batch.node.expr, ROWS))


def _lookup(node: fx.Node, at: Any, source: fx.Node) -> Lookup | None:
    """What an embedding of these ids looks up; None where its first axis is not the rows'."""
    sizes = tuple(map(int, source.meta["val"].shape[1:]))
    value = node.meta["val"]
    if str(value.shape[0]) != str(source.meta["val"].shape[0]) or not _are_rows(at, source):
        return None
    places, width = at[0].flatten(), int(value.shape[-1])
    if tuple(at.shape[1:]) == sizes and torch.equal(places, torch.arange(prod(sizes))):
        return Lookup(node, (*sizes, width), None)
    return Lookup(node, (len(places), width), tuple(places.tolist()))


def _are_rows(at: Any, source: fx.Node) -> bool:
    """Whether the first axis is the rows', and each row's ids lie as the first one's do."""
    if not isinstance(at, Tensor) or at.dim() == 0 or len(at) != _rows(source):
        return False
    first = torch.arange(len(at)).view(-1, *[1] * (at.dim() - 1)) * prod(map(int, source.meta["val"].shape[1:]))
    return torch.equal(at - first, at[:1].expand_as(at))


def _check_numbers(name: str, source: fx.Node, placed: Places, found: Sequence[Lookup]) -> None:
    """Raise InvalidFolder where an id that no embedding takes is used by itself."""
    if any(one.places is None for one in found):
        return
    ids = prod(map(int, source.meta["val"].shape[1:]))
    taken = {place for one in found for place in one.places or ()}
    known = {*placed, *(one.node for one in found)}
    used: set[int] = set()
    for node, at in placed.items():
        if isinstance(at, Tensor) and any(_reads(user, known) for user in node.users):
            own = set((at % ids).flatten().tolist())
            used |= own if not own & taken else set()
    if used:
        raise InvalidFolder(
            f"of the input {name} the ids {', '.join(map(str, sorted(used)))} (from 0) are taken by no embedding of "
            "one vector for each, and are used in another way, so nothing would be said of them; make them an input of "
            "their own: of numbers, or with held = true where they are context"
        )


def _check_tables(name: str, source: fx.Node, found: Sequence[Lookup]) -> None:
    """Raise InvalidFolder where a table is asked again for ids that are made of the input's, as of a text moved on."""
    tables, known, varying = {one.node.args[0] for one in found}, {one.node for one in found}, _varying([source])
    for node in source.graph.nodes:
        if ops.name(node) == "embedding" and node.args[0] in tables and node in varying and node not in known:
            raise InvalidFolder(
                f"the ids of the input {name} are looked up twice in one table, the second time changed or in part "
                f"({node.name}), so nothing would be said of that; look them up once, and change or move the vectors"
            )


def _reads(user: fx.Node, known: Collection[fx.Node]) -> bool:
    """Whether the node makes something else of ids."""
    return user not in known and ops.name(user) not in ops.SHAPES and user.op != "output"
