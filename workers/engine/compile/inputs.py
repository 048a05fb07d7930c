"""Inputs: a program of several is made one that takes them end to end, in a list of floats for each row.

Ids of tokens are floats there, too, and are held: what is explained of them is the output of the embedding that takes
them, which is a part of the list by itself. `Taken.lookup` is the graph that computes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import fx

from workers.engine.compile.constants import Constants
from workers.engine.compile.layer_names import LAYER
from workers.engine.compile.lookups import Lookup, lookups, smallest_table
from workers.engine.compile.open_sizes import fix, nominal
from workers.explanation.card import InputSpec, Part
from workers.explanation.errors import InvalidFolder
from workers.explanation.inputs import is_beside, is_plain, joined, words_of

aten = torch.ops.aten
HELD = "held"  # in a node's meta: neither gradients nor relevance go through it
BETWEEN = "between"  # likewise: it is no layer of the model, but stands between the list and an input


@dataclass(frozen=True)
class Taken:
    """What the list holds, its placeholder, the graph of what embeddings look up, and how many ids each input has."""

    spec: InputSpec
    source: fx.Node
    lookup: tuple[fx.Graph, fx.Node] | None
    tables: Mapping[str, int]


def take(graph: fx.Graph, constants: Constants, sources: Sequence[fx.Node], inputs: Mapping[str, InputSpec]) -> Taken:
    """Let the graph take its inputs as methods are given them; raises InvalidFolder where the card has others."""
    given = {name: spec for name, spec in inputs.items() if not is_beside(name)}
    by_name = matched(sources, given)
    fix(graph, by_name, {name: spec.shape for name, spec in given.items()})
    _check_shapes(by_name, given)
    batch = _batch(by_name)
    tables = {name: smallest_table(source, constants) for name, source in by_name.items() if not _is_float(source)}
    if is_plain(inputs):
        (source,) = sources
        _cast(graph, source, source)
        return Taken(next(iter(inputs.values())), source, None, tables)
    looked_up = {
        name: lookups(name, by_name[name], sources, columns=words_of(name) not in inputs)
        for name, spec in inputs.items()
        if _are_ids(spec)
    }
    plain = joined({name: inputs[name] for name in by_name}, {})
    if not looked_up:
        return Taken(plain, _laid(graph, plain.parts, by_name, batch, {}), None, tables)
    spec = joined(inputs, {name: [(one.shape, one.places) for one in found] for name, found in looked_up.items()})
    nodes = [one.node for found in looked_up.values() for one in found]
    lookup = _looking(graph, plain.parts, by_name, batch, nodes)
    return Taken(spec, _laid(graph, spec.parts, by_name, batch, looked_up), lookup, tables)


def _are_ids(spec: InputSpec) -> bool:
    return spec.dtype != "float32" and not spec.held


def traced_shapes(
    program: torch.export.ExportedProgram, inputs: Mapping[str, InputSpec]
) -> tuple[tuple[int, ...], ...]:
    """The shape of each input that the program was traced with."""
    placed = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    sources = [placed[name] for name in program.graph_signature.user_inputs if name in placed]
    return tuple(nominal(source) for source in matched(sources, inputs).values())


def matched(sources: Sequence[fx.Node], inputs: Mapping[str, InputSpec]) -> dict[str, fx.Node]:
    """The placeholders by the card's names: its own, or in its order; InvalidFolder for a mixture."""
    own = {source.name: source for source in sources}
    if len(sources) != len(inputs):
        raise InvalidFolder(
            f"the model has {len(sources)} inputs ({', '.join(own)}), and its card {len(inputs)} "
            f"({', '.join(inputs)}); give each a section [inputs.NAME], in the order of the model's arguments"
        )
    found = own if own.keys() == inputs.keys() else dict(zip(inputs, sources, strict=True))
    if other := next((name for name, source in found.items() if own.get(name, source) is not source), None):
        raise InvalidFolder(
            f"the model's arguments are {', '.join(own)}, and the card's inputs {', '.join(inputs)}, so that {other} "
            f"is the argument {found[other].name} by its place; name all of them as the model does, or none"
        )
    return {name: found[name] for name in inputs}


def _check_shapes(sources: Mapping[str, fx.Node], inputs: Mapping[str, InputSpec]) -> None:
    for name, spec in inputs.items():
        sizes = [size if isinstance(size, int) else 0 for size in sources[name].meta["val"].shape[1:]]
        if sizes != list(spec.shape):
            section = "[input]" if len(inputs) == 1 else f"[inputs.{name}]"
            raise InvalidFolder(f"{section} shape is {list(spec.shape)} and the model was exported for {sizes}")


def _batch(sources: Mapping[str, fx.Node]) -> int | torch.SymInt:
    """The size that counts rows, which all inputs have in common."""
    first, *others = [(name, source.meta["val"].shape[0]) for name, source in sources.items()]
    for name, size in others:
        if str(size) != str(first[1]):
            raise InvalidFolder(
                f"the first axes of the inputs {first[0]} and {name} are exported as two numbers ({first[1]} and "
                f"{size}), and both count the rows of a batch; give them one torch.export.Dim, as whence export does"
            )
    found: int | torch.SymInt = first[1]
    return found


def _laid(
    graph: fx.Graph,
    parts: Sequence[Part],
    sources: Mapping[str, fx.Node],
    batch: int | torch.SymInt,
    looked_up: Mapping[str, Sequence[Lookup]],
) -> fx.Node:
    """A placeholder of all inputs end to end, whose parts take the place of those that the graph has."""
    like = next(iter(sources.values()))
    with graph.inserting_before(next(iter(graph.nodes))):
        whole = graph.placeholder("inputs")
    whole.meta["val"] = like.meta["val"].new_empty((batch, parts[-1].stop), dtype=torch.float32)
    embeddings = {name: [one.node for one in found] for name, found in looked_up.items()}
    last = list(sources.values())[-1]
    for part in parts:
        if is_beside(part.name):
            continue
        old = embeddings[part.name].pop(0) if part.embedding else sources[part.name]
        last = new = _sliced(whole, part, old, last)
        old.replace_all_uses_with(new)
        if not part.embedding:
            last = _cast(graph, old, new)
    for source in sources.values():
        graph.erase_node(source)
    return whole


def _sliced(whole: fx.Node, part: Part, like: fx.Node, last: fx.Node) -> fx.Node:
    """A part of the list in its own shape and memory, under its name, behind the node that is `last` by now."""
    value = whole.meta["val"][:, part.start : part.stop]
    shaped = like.meta["val"].new_empty(like.meta["val"].shape, dtype=torch.float32)
    steps: list[tuple[Any, tuple[Any, ...], Any]] = [
        (aten.slice.Tensor, (1, part.start, part.stop), value),
        (aten.contiguous.default, (), value.contiguous()),
        (aten.reshape.default, ([-1, *_part(like)],), shaped),
    ]
    if part.held:
        steps.append((aten.detach.default, (), shaped))
    node = whole
    for call, args, found in steps:
        after = whole.graph.create_node("call_function", call, (node, *args))
        after.meta = {"val": found, BETWEEN: True, HELD: part.held}
        last.append(after)
        node = last = after
    own = like.meta if part.embedding else {LAYER: part.name}
    node.meta = {**own, "val": shaped, HELD: part.held}
    return node


def _cast(graph: fx.Graph, source: fx.Node, given: fx.Node) -> fx.Node:
    """Let a program that was exported for whole numbers (ids of tokens) take them as floats, as all input comes."""
    wanted = source.meta["val"]
    if wanted.is_floating_point():
        return given
    with graph.inserting_after(given):
        whole = graph.call_function(aten.to.dtype, (given, wanted.dtype))
    whole.meta = {"val": wanted}
    given.replace_all_uses_with(whole, delete_user_cb=lambda user: user is not whole)
    given.meta["val"] = wanted.to(torch.float32)
    return whole


def _looking(
    graph: fx.Graph,
    parts: Sequence[Part],
    sources: Mapping[str, fx.Node],
    batch: int | torch.SymInt,
    nodes: Sequence[fx.Node],
) -> tuple[fx.Graph, fx.Node]:
    """The graph from the inputs end to end to what these nodes look up for them, end to end."""
    made = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    made.graph_copy(graph, copies)
    flat = []
    for node in nodes:
        one = made.call_function(aten.reshape.default, (copies[node], [-1, prod(_part(node))]))
        one.meta["val"] = node.meta["val"].flatten(1)
        flat.append(one)
    both = made.call_function(aten.cat.default, (flat, 1))
    both.meta["val"] = torch.cat([one.meta["val"] for one in flat], 1)
    made.output((both,))
    whole = _laid(made, parts, {name: copies[source] for name, source in sources.items()}, batch, {})
    # A dropout that nothing reads would stay, and all that it reads: a whole pass for a look at a table.
    made.eliminate_dead_code(is_impure_node=lambda node: node.op in ("placeholder", "output"))
    return made, whole


def _part(node: fx.Node) -> tuple[int, ...]:
    return tuple(int(size) for size in node.meta["val"].shape[1:])


def _is_float(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and value.is_floating_point()
