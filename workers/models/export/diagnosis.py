"""What to blame where an exported model is not its module: a layer, an autograd Function, a detach, a random draw."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram

from workers.engine.graph.graph import Graph
from workers.models.export.eager_run import Seen

LARGE = 1e-3  # of what a layer returns: a difference that is more than rounding


@dataclass(frozen=True)
class Difference:
    """Where the graph is not the module: `what` differs, by up to `gap` in values of up to `size`, for that row."""

    what: str
    gap: float
    size: float
    row: Tensor
    seen: Seen


def diagnose(found: Difference, graph: Graph, program: ExportedProgram, repeats: bool) -> str:
    """The difference in a sentence: what it is, where it comes from, and what would be right.

    `repeats`: whether the module answers the same input twice alike.
    """
    if isnan(found.gap):
        return f"the model gives numbers, and its exported graph {not_finite(graph, found.row[None].float(), None)}"
    far = f"differ by up to {found.gap:.3g} of {found.size:.3g}" if found.size else "are others"
    if found.what == "gradients":
        return (
            f"the exported graph gives the model's outputs, but not its gradients, which {far}: "
            f"{_lost(found.seen)}; explanations would be of another function. Write it in the factory with operations "
            "whose own derivative is the one that is meant"
        )
    if (draws := _draws(program)) is not None:
        return (
            f"the exported graph's {found.what} {far}: {draws} draws random numbers each time it runs; let it do so in "
            "training alone, as F.dropout(x, p, self.training) does"
        )
    if not repeats:
        return (
            f"the exported graph's {found.what} {far}: the model answers the same input otherwise each time, for it "
            "keeps state from one call to the next, or draws random numbers; let forward read its attributes and "
            "buffers alone"
        )
    first = _first_apart(found, graph)
    return (
        f"the exported graph's {found.what} {far}{first}; the model computes something else while it is exported (a "
        "branch on torch.compiler or on torch.jit, say)"
    )


def not_finite(graph: Graph, x: Tensor, output: Tensor | None) -> str:
    """`NaN, first in the layer fc1`, by the graph's own values; without an output, NaN is what is looked for."""
    kind = "NaN" if output is None or output.isnan().any() else "infinity"
    try:
        with torch.no_grad():
            _, values = graph.run(x, range(len(graph.nodes)))
    except Exception:
        return kind
    for node in graph.nodes[1:]:
        value: object = values[node.index]
        if isinstance(value, Tensor) and (value.isnan() if kind == "NaN" else value.isinf()).any():
            return f"{kind}, first in the layer {node.layer} ({node.op})"
    return kind


def _lost(seen: Seen) -> str:
    """What was met that a graph does not keep."""
    own = [f"the backward of the autograd Function {name}{_within(path)}" for name, path in seen.own.items()]
    cut = [f"{name}{_within(path)}" for name, path in seen.cut.items()]
    if not own and not cut:
        return "it has a backward of its own that torch.export leaves out"
    return f"torch.export leaves out {' and '.join(own + cut)}"


def _within(path: str) -> str:
    return f" in the layer {path}" if path else ""


def _draws(program: ExportedProgram) -> str | None:
    """The first call that is random, as `dropout_1 in the layer head`."""
    for node in program.graph.nodes:
        if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()) and _is_on(node):
            stack = list((node.meta.get("nn_module_stack") or {}).values())
            return f"{node.name}{_within(stack[-1][0] if stack else '')}"
    return None


def _is_on(node: fx.Node) -> bool:
    """Whether a dropout is one that drops."""
    return "dropout" not in str(node.target) or (len(node.args) > 2 and node.args[2] is True)


def _first_apart(found: Difference, graph: Graph) -> str:
    """The first layer whose value is another in the graph."""
    wanted = [node.index for node in graph.nodes if node.layer in found.seen.values]
    try:
        with torch.no_grad():
            _, values = graph.run(found.row[None].to(torch.float32), wanted)
    except Exception:
        return ""
    for index in wanted:
        layer = graph.nodes[index].layer
        ours, theirs = values[index], found.seen.values[layer].detach().to(torch.float32)
        if ours.shape == theirs.shape and (ours - theirs).abs().max() > LARGE * theirs.abs().max():
            return f", first in the layer {layer}"
    return ""
