"""How many rows of a batch a model is given at once."""

from __future__ import annotations

import math

from workers.engine.model.function import Function
from workers.engine.model.model import Model

KEPT = 2**26  # numbers that one pass keeps


def rows_at_once(model: Function) -> int | None:
    """At most so many; None where nothing limits them.

    On a CPU more rows of a large model take more memory and no less time each, and what is known of some need not wait
    for the others.
    """
    if model.rows or model.device.type != "cpu" or not isinstance(model, Model):
        return model.rows
    kept = sum(math.prod(node.shape or ()) for node in model.folded.nodes)
    return max(1, KEPT // max(kept, 1))
