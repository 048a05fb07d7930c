"""Dropout of attention weights, which an export in evaluation leaves out: noted at the export, written out later."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import fx
from torch.export import ExportedProgram

from workers.engine.compile.constants import Constants, add_constant
from workers.engine.compile.layer_names import Name
from workers.engine.compile.recurrent_cells import Writer
from workers.engine.graph import ops

aten = torch.ops.aten
FUSED = "scaled_dot_product_attention"
NOTE = "attention_dropout"  # in the node's `custom` metadata, which torch keeps in the archive

log = logging.getLogger(__name__)


def note(program: ExportedProgram, training: Callable[[], ExportedProgram]) -> None:
    """Note at each attention of a program in evaluation what it drops in the same module's program in training.

    They are told by their order; where the two do not have the same ones, nothing is noted.
    """
    here = _attentions(program.graph)
    if not here:
        return
    try:
        there = _attentions(training().graph)
    except Exception as error:  # a module that cannot be exported in training says nothing of its dropout
        log.info("the dropout of attention weights could not be read: %s", error)
        return
    if [ops.name(node) for node in here] != [ops.name(node) for node in there]:
        return
    for node, twin in zip(here, there, strict=True):
        rate = _rate(twin)
        if rate:
            node.meta["custom"] = {**node.meta.get("custom", {}), NOTE: rate}


def noted(node: fx.Node) -> float:
    """The share of an attention's weights that is dropped in training, by its note."""
    rate = node.meta.get("custom", {}).get(NOTE, 0.0)
    fits = isinstance(rate, float) and 0 < rate < 1 and ops.name(node) in (FUSED, "softmax")
    fits = fits and not node.kwargs.get("enable_gqa")
    return rate if fits and all(isinstance(size, int) for size in node.meta["val"].shape[1:]) else 0.0


def write_out(graph: fx.Graph, constants: Constants, names: dict[fx.Node, Name]) -> None:
    """Put each noted dropout where it stands in training: behind the softmax, in attention written out."""
    for node in [each for each in graph.nodes if noted(each)]:
        following = next(iter(node.users))
        layer = names[node].layer if node in names else node.name
        write = Writer(graph, constants, names, following, layer, {})
        if ops.name(node) == FUSED:
            made = _written_out(node, Writer(graph, constants, names, node, layer, {}))
            names[made] = names.pop(node)
            node.replace_all_uses_with(made)
            graph.erase_node(node)
        else:
            dropped = write(aten.dropout.default, node, noted(node), False, name="dropout")
            node.replace_all_uses_with(dropped)
            dropped.args = (node, *dropped.args[1:])


def _written_out(node: fx.Node, write: Writer) -> fx.Node:
    """softmax(q k^T / sqrt(d) + mask), dropped, times v."""
    q, k, v, mask, _, causal = _filled(node)
    query, keys = (cast(fx.Node, one).meta["val"].shape for one in (q, k))
    scale = node.kwargs.get("scale") or 1 / math.sqrt(query[-1])
    scores = write(aten.matmul.default, q, write(aten.transpose.int, k, -2, -1, name="keys"), name="products")
    scores = write(aten.mul.Tensor, scores, scale, name="scores")
    if causal:
        ahead = torch.full((query[-2], keys[-2]), -math.inf).triu(1)
        fixed = add_constant(write.graph, write.constants, f"causal_{node.name}", ahead)
        scores = write(aten.add.Tensor, scores, fixed, name="causal")
    if mask is not None:
        scores = _masked(scores, cast(fx.Node, mask), write)
    weights = write(aten._safe_softmax.default, scores, -1, name="weights")  # 0 where all is masked, as fused
    dropped = write(aten.dropout.default, weights, noted(node), False, name="dropout")
    return write(aten.matmul.default, dropped, v, name="y")


def _filled(node: fx.Node) -> Sequence[Any]:
    """Query, key, value, mask, dropout and whether it is causal."""
    defaults = {"attn_mask": None, "dropout_p": 0.0, "is_causal": False}
    given = [node.kwargs.get(name, default) for name, default in defaults.items()]
    return [*node.args, *given[len(node.args) - 3 :]]


def _masked(scores: fx.Node, mask: fx.Node, write: Writer) -> fx.Node:
    value = mask.meta.get("val", write.constants.get(mask.name))
    if value is not None and value.dtype == torch.bool:
        hidden = write(aten.logical_not.default, mask, name="hidden")
        return write(aten.masked_fill.Scalar, scores, hidden, -math.inf, name="masked")
    return write(aten.add.Tensor, scores, mask, name="masked")


def _attentions(graph: fx.Graph) -> list[fx.Node]:
    return [node for node in graph.nodes if ops.name(node) in (FUSED, "softmax")]


def _rate(node: fx.Node) -> float:
    """What attention drops in training: by its argument, or by a dropout of the softmax's value."""
    if ops.name(node) == FUSED:
        return float(_filled(node)[4])
    read = next((user for user in node.users if ops.name(user).removesuffix("_") == "dropout"), None)
    return float(cast(float, read.args[1])) if read is not None and len(node.users) == 1 else 0.0
