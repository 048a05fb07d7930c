"""The backward walk: carries relevance (or gradients) from any nodes of a tape to any others."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import torch
from torch import Tensor

from workers.engine.graph.embeddings import check_slope
from workers.engine.graph.tape import Flow, Local, Tape
from workers.engine.rules.rule import Rule

Observer = Callable[[Local, Flow, Sequence[Tensor | None]], None]


def propagate(
    tape: Tape,
    start: Mapping[int, Tensor],
    rule_of: Callable[[Local], Rule],
    to: Collection[int] = (0,),
    masks: Mapping[int, Tensor] | None = None,
    watch: Observer | None = None,
) -> dict[int, Tensor]:
    """Relevance of the nodes in `to`, from the relevance of the nodes in `start`.

    `masks` multiplies the relevance of nodes on the way (conditional relevance). `watch(local, relevance, parts)` sees
    every node that is passed, with what it was given and what goes on from it to each input. A node of `to` that none
    of the start depends on gets zeros; of one of several values it is that of the first. Raises MethodNotApplicable for
    the input of a model of tokens.
    """
    if 0 in to:
        check_slope(tape.graph)
    needed = _needed(tape, to)
    arrived: dict[int, Flow] = dict(start)
    result: dict[int, Tensor] = {}
    for index in range(max(start), -1, -1):
        relevance = arrived.pop(index, None)
        if relevance is None:
            continue
        if masks is not None and index in masks and isinstance(relevance, Tensor):
            relevance = relevance * masks[index]
        if index in to and (first := relevance if isinstance(relevance, Tensor) else relevance.get(0)) is not None:
            result[index] = first
        local = tape.locals[index]
        if local is None or not needed[index]:
            continue
        if local.item is not None and isinstance(relevance, Tensor):
            _add(arrived, local.inputs[0], {local.item: relevance})
            continue
        handed = zip(local.inputs, rule_of(local).backward(local, relevance), strict=True)
        parts = [part if needed[i] or i in to else None for i, part in handed]
        if watch is not None:
            watch(local, relevance, parts)
        for i, part in zip(local.inputs, parts, strict=True):
            if part is not None:
                _add(arrived, i, part)
    for index in set(to) - result.keys():
        result[index] = torch.zeros_like(_first(tape.values[index]))
    return result


def _first(value: Tensor | Sequence[Tensor]) -> Tensor:
    """Of a node of several values, as an embedding bag, the first is what goes on."""
    return value if isinstance(value, Tensor) else value[0]


def _needed(tape: Tape, to: Collection[int]) -> list[bool]:
    """Whether relevance has to go on below each node: whether another node, one of `to`, flows into it."""
    flows = {index: tape.graph.reaching(index) for index in to}
    return [any(flow[i] for index, flow in flows.items() if index != i) for i in range(len(tape.graph.nodes))]


def _add(arrived: dict[int, Flow], index: int, part: Flow) -> None:
    """Add a part to what has arrived at a node, tensor by tensor where the node returns several."""
    there = arrived.get(index)
    if there is None:
        arrived[index] = part
    elif isinstance(there, Tensor) and isinstance(part, Tensor):
        arrived[index] = there + part
    elif isinstance(there, Mapping) and isinstance(part, Mapping):
        arrived[index] = {**there, **{k: there[k] + v if k in there else v for k, v in part.items()}}
