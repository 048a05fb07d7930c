"""The backward walk: carries relevance (or gradients) from any nodes of a tape to any others."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from torch import Tensor

from workers.engine.rules.rule import Rule
from workers.engine.tape import Local, Tape

Watch = Callable[[Local, Any], None]


def propagate(
    tape: Tape,
    start: Mapping[int, Tensor],
    rule_of: Callable[[Local], Rule],
    to: Collection[int] = (0,),
    masks: Mapping[int, Tensor] | None = None,
    watch: Watch | None = None,
) -> dict[int, Tensor]:
    """Relevance of the nodes in `to`, from the relevance of the nodes in `start`.

    `masks` multiplies the relevance of nodes on the way (conditional relevance). `watch(local, relevance)` sees every
    node that is passed. A node of `to` that none of the start depends on gets zeros.
    """
    needed = _needed(tape, to)
    arrived: dict[int, Any] = dict(start)
    result: dict[int, Tensor] = {}
    for index in range(max(start), -1, -1):
        relevance = arrived.pop(index, None)
        if relevance is None:
            continue
        if masks is not None and index in masks:
            relevance = relevance * masks[index]
        if index in to:
            result[index] = relevance
        local = tape.locals[index]
        if local is None or not needed[index]:
            continue
        if watch is not None:
            watch(local, relevance)
        _hand_on(local, rule_of(local).backward(local, relevance), arrived, needed, to)
    return {index: result.get(index, tape.values[index].new_zeros(tape.values[index].shape)) for index in to}


def _needed(tape: Tape, to: Collection[int]) -> list[bool]:
    """Whether relevance has to go on below each node: whether another node, one of `to`, flows into it."""
    flows = {index: tape.graph.reaching(index) for index in to}
    return [any(flow[i] for index, flow in flows.items() if index != i) for i in range(len(tape.graph.nodes))]


def _hand_on(local: Local, parts: Any, arrived: dict[int, Any], needed: list[bool], to: Collection[int]) -> None:
    for index, part in zip(local.inputs, parts, strict=True):
        if part is None or not (needed[index] or index in to):
            continue
        arrived[index] = arrived[index] + part if index in arrived else part
