"""What the engine knows of ATen operations: names, and classes that rules are given to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import fx

BATCH_NORM = frozenset({"batch_norm", "_native_batch_norm_legit_no_training", "native_batch_norm", "cudnn_batch_norm"})
OF_BATCH = "batch_norm_without_statistics"  # of its own: it takes those of the batch
CONVOLUTION = frozenset({"conv1d", "conv2d", "conv3d", "convolution"})
TRANSPOSED = frozenset({"conv_transpose1d", "conv_transpose2d", "conv_transpose3d"})
LINEAR = frozenset({"linear"}) | CONVOLUTION | TRANSPOSED
FOLDABLE = LINEAR
ACTIVATION = frozenset(
    {"relu", "relu6", "hardtanh", "leaky_relu", "prelu", "elu", "selu", "celu", "gelu", "silu", "mish", "sigmoid"}
    | {"tanh", "softplus", "hardswish", "hardsigmoid", "hardshrink", "softshrink", "clamp", "clamp_min", "clamp_max"}
    | {"softsign", "log_sigmoid", "rrelu", "threshold"}
)
ELEMENTWISE = frozenset(
    {"abs", "square", "sqrt", "rsqrt", "reciprocal", "exp", "expm1", "log", "log1p", "pow", "sin", "cos", "erf", "atan"}
)
VIEWS = frozenset(
    {"view", "reshape", "flatten", "unflatten", "permute", "transpose", "t", "squeeze", "unsqueeze", "expand", "slice"}
    | {"select", "getitem", "unbind", "split", "split_with_sizes", "chunk", "alias", "detach", "narrow", "movedim"}
    | {"expand_as", "view_as", "mT", "numpy_T", "swapaxes", "unfold", "diagonal", "reshape_as", "broadcast_to"}
)
ALIASING = VIEWS | {"contiguous", "to"}
ROUTING = VIEWS | frozenset(
    {"contiguous", "clone", "cat", "stack", "pad", "constant_pad_nd", "roll", "flip", "index", "index_select", "gather"}
    | {"pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "dropout", "feature_dropout", "repeat", "tile"}
    | {"repeat_interleave", "masked_fill", "where", "to", "_to_copy", "reflection_pad1d", "reflection_pad2d"}
    | {"reflection_pad3d", "replication_pad1d", "replication_pad2d", "replication_pad3d", "im2col", "rot90", "tril"}
    | {"triu", "slice_scatter", "select_scatter", "copy", "take_along_dim"}
)
AVERAGING = frozenset(
    {"avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"}
    | {"mean", "sum", "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "upsample_bilinear2d"}
    | {"upsample_linear1d", "upsample_trilinear3d", "upsample_bicubic2d", "_upsample_bilinear2d_aa", "cumsum", "col2im"}
    | {"_upsample_bicubic2d_aa", "_upsample_nearest_exact1d", "_upsample_nearest_exact2d", "_adaptive_avg_pool2d"}
)
INDEXED_MAXIMA = frozenset({"scatter_reduce_amax", "scatter_reduce_amin", "index_reduce_amax", "index_reduce_amin"})
MAX_POOLING = INDEXED_MAXIMA | frozenset(
    {"max_pool1d", "max_pool2d", "max_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d"}
    | {"max_pool2d_with_indices", "max_pool3d_with_indices", "amax", "amin", "max", "min", "topk", "sort"}
)
EMBEDDING = frozenset({"embedding", "embedding_bag", "_embedding_bag"})
CHOOSING = frozenset({"maximum", "minimum", "fmax", "fmin"})
ADDITION = frozenset({"add", "sub", "rsub"})
SCALING = frozenset({"mul", "div", "neg"})
NORMALISING = frozenset({"layer_norm", "group_norm", "instance_norm", "rms_norm"})
BILINEAR = frozenset({"matmul", "bmm", "mm", "einsum", "scaled_dot_product_attention"})
PRODUCT = frozenset({"mul", "matmul", "bmm", "mm", "einsum"})
AFFINE_IN_EACH = frozenset({"addmm", "baddbmm", "addcmul"})
CREATION = frozenset(
    {"new_zeros", "new_ones", "new_full", "new_empty", "zeros_like", "ones_like", "full_like", "empty_like"}
)
SHAPES = CREATION | {"sym_size", "sym_numel", "sym_stride"}  # what reads of a value its shape alone
LIKE = frozenset({"expand_as", "view_as", "reshape_as", "type_as"})  # and of the second one
SCATTERING = frozenset(
    {"scatter_add", "index_add", "scatter", "index_put", "index_copy", "index_fill", "diag_embed"}
    | {"scatter_reduce_sum", "scatter_reduce_mean", "index_reduce_mean"}
)  # what moves values to other places, or adds them up there
WEIGHTING = frozenset(
    {
        "softmax",
        "sigmoid",
        "hardsigmoid",
        "relu6",
        "hardtanh",
        "erf",
        "rsqrt",
        "reciprocal",
        "linalg_vector_norm",
        "norm",
    }
)
SHARING = frozenset({"softmax", "rsqrt", "reciprocal", "linalg_vector_norm", "norm"})
RECTIFYING = frozenset({"relu", "gelu", "silu", "mish", "elu", "selu", "celu", "leaky_relu", "softplus", "hardswish"})
_SYNONYMS = {
    "multiply": "mul", "divide": "div", "true_divide": "div", "subtract": "sub", "negative": "neg", "concat": "cat",
    "concatenate": "cat", "_softmax": "softmax", "_safe_softmax": "softmax", "_log_softmax": "log_softmax",
    "_unsafe_view": "view", "swapdims": "transpose", "moveaxis": "movedim", "clip": "clamp", "absolute": "abs",
}  # fmt: skip


def name(node: fx.Node) -> str:
    """The ATen name of a call without its overload: `conv2d`; an empty string for what is no call."""
    if node.op != "call_function":
        return ""
    target = node.target
    if isinstance(target, torch._ops.OpOverload):
        called = target._schema.name.partition("::")[2]
        if called in ("scatter_reduce", "index_reduce"):
            return f"{called}_{node.args[4]}"
        if called in BATCH_NORM and node.args[3] is None:
            return OF_BATCH
        return _SYNONYMS.get(called, called)
    return cast(str, getattr(target, "__name__", str(target)))


def functional_twin(node: fx.Node) -> Callable[..., Any] | None:
    """The functional overload of an in-place call, None for a call that is functional already."""
    called = name(node)
    target = node.target
    if not (isinstance(target, torch._ops.OpOverload) and called.endswith("_") and not called.endswith("__")):
        return None
    packet = getattr(torch.ops.aten, called[:-1], None)
    return cast(Callable[..., Any], getattr(packet, target._overloadname)) if packet is not None else None


def is_identity(node: fx.Node) -> bool:
    """Whether the call returns its first argument unchanged."""
    called = name(node)
    if called in {"detach", "alias", "contiguous", "clone", "lift_fresh", "lift_fresh_copy", "detach_copy"}:
        return True
    if called in {"dropout", "feature_dropout", "alpha_dropout"}:
        return node.args[2] is False
    if called == "slice":
        whole = node.args[2:4] in ((None, None), (0, 2**63 - 1), (0, None), (None, 2**63 - 1))
        return len(node.args) < 5 and (whole or len(node.args) < 3)
    if called in {"to", "_to_copy"}:
        return _same_type(node)
    return False


def _same_type(node: fx.Node) -> bool:
    """Whether the type stays; all floats are one in the engine."""
    source = node.args[0]
    before, after = (n.meta.get("val") if isinstance(n, fx.Node) else None for n in (source, node))
    if before is None or after is None:
        return False
    return bool(before.dtype == after.dtype or (before.is_floating_point() and after.is_floating_point()))


def batch_norm_parts(node: fx.Node) -> tuple[str | None, str | None, str, str, float]:
    """Names of weight, bias, running mean, running variance, and epsilon of a batch norm in evaluation."""
    weight, bias, mean, variance = (a.name if isinstance(a, fx.Node) else None for a in node.args[1:5])
    assert mean is not None
    assert variance is not None
    position = 7 if name(node) in {"batch_norm", "native_batch_norm", "cudnn_batch_norm"} else 6
    return weight, bias, mean, variance, float(cast(float, node.args[position]))


def channel_axis_of_weight(called: str, args: Sequence[Any]) -> int:
    """The axis of the weight that counts outputs: 1 in a transposed convolution, else 0."""
    return 1 if called in TRANSPOSED or (called == "convolution" and bool(args[6])) else 0


def groups(called: str, args: Sequence[Any]) -> int:
    """The number of groups of a convolution, 1 of a linear layer."""
    position = {"convolution": 8, "linear": len(args)}.get(called, 6)
    return int(args[position]) if len(args) > position else 1
