"""Entry: one line of a composite, and what it asks of a kind of rule. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from torch import Tensor

    from workers.engine.graph.graph import Graph, Node
    from workers.engine.rules.rule import Rule

EPSILON = 1e-6
Epsilon_: TypeAlias = Annotated[float, Field(ge=0, le=1e3, description="Added to |z|, with z's sign.")]
Where: TypeAlias = Literal["first", "lower_half", "upper_half"]
Ops: TypeAlias = Literal[
    "convolution", "linear", "average_pooling", "max_pooling", "sum", "normalisation", "product"
]  # fmt: skip


class Entry(BaseModel):
    """One line of a composite: every condition given must hold; the first line that matches a node gives its rule.

    A subclass stands beside its rule in a file of `named/`, where it is found by its `rule`. Such a file is imported
    where torch is not: it reaches torch, and what needs it, inside functions alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    layers: str | None = Field(default=None, max_length=300, description="Layers by name; * and ? stand for anything.")
    ops: Ops | None = Field(
        default=None,
        description="The class of operation. Only this reaches maximum pools, or `layers` with their whole name.",
    )
    where: Where | None = Field(
        default=None,
        description="Of the layers with weights: those that read the input, or the lower or upper half of the "
        "convolutions (of the linear layers, where `ops` is linear), counted along the longest way from the input; the "
        "middle one of an odd number is in the lower half. Linear layers lie above all convolutions.",
    )

    if TYPE_CHECKING:

        @property
        def epsilon(self) -> float:
            """What stabilises the denominators, of nodes without weights, too."""

    @property
    def spread(self) -> float:
        """How many standard deviations of a node's output stabilise it besides, where it shares by contribution."""
        return 0.0

    def bind(self, node: Node, graph: Graph, bounds: tuple[Tensor, Tensor] | None) -> Rule:
        """The rule of a node with constant weights; `bounds` are those of the model's input, where its card has them.

        Raises InvalidParameter, naming the node, where it takes more than there is.
        """
        raise NotImplementedError

    def alike(self, _node: Node, _sources: Sequence[int]) -> Rule | None:
        """The rule of a sum, an average or a pool, where this kind counts all values alike; None where it does not."""
        return None


Table: TypeAlias = tuple[Entry, ...]
