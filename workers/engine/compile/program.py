"""From an exported program to the two graphs the engine runs: as exported, and in plain calls that have rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from workers.engine.compile import attention_dropout, batch_norm, memory_format, normal_forms, unroll
from workers.engine.compile.constants import Constants, fold_constants
from workers.engine.compile.dropout import Dropout, switch_on
from workers.engine.compile.inline import inline
from workers.engine.compile.inputs import BETWEEN, HELD, take
from workers.engine.compile.layer_names import WHOLE, Name, free, layer_names
from workers.engine.compile.outputs import OUTPUT, choose
from workers.engine.compile.precision import in_precision, unify
from workers.engine.graph import canonizers, ops
from workers.engine.graph.graph import Graph, Node, Ref, is_float, references
from workers.engine.graph.rows import Rows, of_sizes
from workers.explanation.card import InputSpec
from workers.explanation.errors import InvalidFolder


@dataclass(frozen=True)
class Compiled:
    """`exported` computes the model as it is; `folded` the same, batch norm folded and recurrence unrolled.

    `dropouts` are those switched on in both, where that was asked for. `spec` is what they take, `lookup` computes what
    of it embeddings look up for ids, of which `tables` says how many there are, by input.
    """

    exported: Graph
    folded: Graph
    dropouts: tuple[Dropout, ...] = ()
    spec: InputSpec | None = None
    lookup: Graph | None = None
    tables: Mapping[str, int] = field(default_factory=dict)


def compile_program(
    program: torch.export.ExportedProgram,
    device: torch.device,
    dtype: torch.dtype,
    dropout: bool = False,
    inputs: Mapping[str, InputSpec] | None = None,
    select: int | str | None = None,
) -> Compiled:
    """Both graphs of a program, constants on the device; raises InvalidFolder where it takes other `inputs`.

    With `dropout`, what drops values in training is kept, as a product with a mask. `select` is which output, of
    several: an index, or a key, or several with dots between them.
    """
    graph, constants, sources = _unlifted(program, select)
    constants = unify(graph, constants, dtype)
    taken = take(graph, constants, sources, inputs or _as_exported(sources))
    source = taken.source
    lookup = None
    if taken.lookup is not None:
        lookup = _lookup(*taken.lookup, constants, device, dtype)
    fold_constants(graph, constants)
    normal_forms.plain_forms(graph, constants)
    names = layer_names(graph.nodes)
    canonizers.functionalise(graph)
    if dropout:
        attention_dropout.write_out(graph, constants, names)
        unroll.unroll(graph, constants, names)  # where its dropout is the layer's argument, no node has it
    dropouts = switch_on(graph, constants, names, source) if dropout else ()
    stands = canonizers.drop_identity(graph)
    for erased, stand in stands.items():
        if OUTPUT in erased.meta:
            stand.meta = {**stand.meta, OUTPUT: (*stand.meta.get(OUTPUT, ()), *erased.meta[OUTPUT])}
    constants = {name: _placed(value, device, dtype) for name, value in constants.items()}
    if device.type == "cpu":
        memory_format.channels_last(graph, constants)
    named = _with_aliases(names, stands)
    unroll.differentiable(graph)
    exported = _compile(graph, constants, source, named, device)
    calls = list(graph.nodes)
    unroll.unroll(graph, constants, named)
    folded = batch_norm.fold_batch_norm(graph, constants)
    normal_forms.separate(graph)
    same = list(graph.nodes) == calls
    plain = exported if same else _compile(graph, constants, source, _with_aliases(named, folded), device)
    return Compiled(exported, plain, dropouts, taken.spec, lookup, taken.tables)


def _as_exported(sources: Sequence[fx.Node]) -> dict[str, InputSpec]:
    """The inputs as the program has them, where no card says anything of them."""
    return {source.name: InputSpec(shape=tuple(map(int, source.meta["val"].shape[1:]))) for source in sources}


def _lookup(graph: fx.Graph, source: fx.Node, constants: Constants, device: torch.device, dtype: torch.dtype) -> Graph:
    """The graph of what embeddings look up."""
    own = {name: _placed(value, device, dtype) for name, value in constants.items()}
    return _compile(graph, own, source, layer_names(graph.nodes), device)


def _unlifted(
    program: torch.export.ExportedProgram, select: int | str | None
) -> tuple[fx.Graph, dict[str, Any], list[fx.Node]]:
    """A copy of the program's graph with the one output, its constants and the inputs by placeholder."""
    signature = program.graph_signature
    stored: dict[str, Any] = {**program.state_dict, **program.constants}
    lifted = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    lifted |= signature.inputs_to_lifted_tensor_constants
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    graph.output(graph.graph_copy(program.graph, copies))
    inline(graph, program.graph_module)
    for mutated in signature.buffers_to_mutate.values():
        raise InvalidFolder(f"the model writes to its buffer {mutated} when it runs; export it in evaluation mode")
    constants = {name: stored[target] for name, target in lifted.items()}
    # the copy renames what Python has a name for, such as `input`, the input of every nn.Sequential
    named = {node.name: copy for node, copy in copies.items()}
    sources = [named[name] for name in signature.user_inputs if isinstance(name, str) and name in named]
    choose(graph, program, select)
    return graph, constants, sources


def _placed(value: Any, device: torch.device, dtype: torch.dtype) -> Any:
    return in_precision(value.detach().to(device), dtype) if isinstance(value, torch.Tensor) else value


def _with_aliases(names: dict[fx.Node, Name], stands: dict[fx.Node, fx.Node]) -> dict[fx.Node, Name]:
    """The names, those of erased nodes given to the nodes that stand for them."""
    result = dict(names)
    for erased in reversed(stands):
        stand = stands[erased]
        if stand in result:
            own, gone = result[stand], result[erased]
            extra = tuple(a for a in (gone.layer, *gone.aliases) if a != erased.name)
            result[stand] = Name(own.layer, (*own.aliases, *extra))
    return result


def _compile(
    graph: fx.Graph,
    constants: dict[str, Any],
    source: fx.Node,
    names: dict[fx.Node, Name],
    device: torch.device,
) -> Graph:
    position: dict[fx.Node, int] = {source: 0}
    nodes, taken = [_whole(source, names[source].layer)], _taken(names)
    rows_of = _RowsOf(source.meta["val"].shape[0])

    def bound(argument: Any) -> Any:
        if isinstance(argument, fx.Node):
            return Ref(position[argument]) if argument in position else constants[argument.name]
        if isinstance(argument, list | tuple):
            items = [bound(item) for item in argument]
            return items if isinstance(argument, list) else tuple(items)
        return argument

    for node in [node for node in graph.nodes if node.op == "call_function"]:
        index = len(nodes)
        args = tuple(bound(a) for a in node.args)
        # the program names the device that it was exported with
        kwargs = {key: device if key == "device" else bound(value) for key, value in node.kwargs.items()}
        inputs = tuple(dict.fromkeys(references([*args, *kwargs.values()])))
        name = names.get(node) or Name(free(node.name, taken), ())
        sizes, rows = rows_of(_sizes(node))
        nodes.append(
            Node(
                index=index,
                name=node.name,
                layer=name.layer,
                aliases=name.aliases,
                op=ops.name(node),
                call=node.target,
                args=args,
                kwargs=kwargs,
                inputs=inputs,
                shape=_shape(node),
                carries=_carries(node),
                between=bool(node.meta.get(BETWEEN)),
                sizes=sizes if is_float(node.meta.get("val")) else None,
                rows=rows,
            )
        )
        position[node] = index
    returned: Any = graph.output_node().args[0]
    result = returned[0] if isinstance(returned, list | tuple) else returned
    outputs = {name: at for node, at in position.items() for name in node.meta.get(OUTPUT, ())}
    return Graph(tuple(nodes), position[result], isinstance(rows_of.batch, int), outputs)


class _RowsOf:
    """`of_sizes`, once for sizes that are alike, as those of most steps of a recurrent layer are."""

    def __init__(self, batch: int | torch.SymInt) -> None:
        self.batch = batch
        self.known: dict[object, tuple[tuple[int, ...] | None, Rows]] = {}

    def __call__(self, sizes: Sequence[int | torch.SymInt] | None) -> tuple[tuple[int, ...] | None, Rows]:
        key = None if sizes is None else tuple(str(size) for size in sizes)
        if key not in self.known:
            self.known[key] = of_sizes(sizes, self.batch)
        return self.known[key]


def _whole(source: fx.Node, alias: str) -> Node:
    return Node(0, source.name, WHOLE, (alias,), "input", _identity, (), {}, (), _shape(source))


def _taken(names: Mapping[fx.Node, Name]) -> set[str]:
    return {WHOLE, *(name for one in names.values() for name in (one.layer, *one.aliases))}


def _identity(*_: Any) -> None:
    """The input node is a value, not a call."""


def _carries(node: fx.Node) -> bool:
    held = ops.name(node) in ops.CREATION or node.meta.get(HELD)
    return not held and _has_floats(node.meta.get("val"))


def _has_floats(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(_has_floats(item) for item in value)
    return isinstance(value, torch.Tensor) and (value.is_floating_point() or value.is_complex())


def _sizes(node: fx.Node) -> Sequence[int | torch.SymInt] | None:
    """The sizes of a tensor, None of other values."""
    value = node.meta.get("val")
    return value.shape if isinstance(value, torch.Tensor) else None


def _shape(node: fx.Node) -> tuple[int, ...] | None:
    """The shape behind the first axis, where the value is a float tensor of plain sizes."""
    value = node.meta.get("val")
    if not isinstance(value, torch.Tensor) or not value.is_floating_point():
        return None
    sizes = value.shape[1:]
    return tuple(int(s) for s in sizes) if all(isinstance(s, int) for s in sizes) else None
