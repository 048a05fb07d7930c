"""What is told of a text is of its own tokens, not of the padding that it shares a pass with."""

from __future__ import annotations

import math
from dataclasses import replace

from workers.explanation.inputs import ONE
from workers.explanation.result import Row
from workers.runtime.execute.model_inputs import Prepared


def own_tokens(row: Row, inputs: Prepared) -> Row:
    """The row without padding: its arrays for each token of a text, and pairs of pieces of which some are tokens."""
    arrays, info = dict(row.arrays), dict(row.info)
    for key, array in row.arrays.items():
        name = key.partition(".")[2] or ONE
        if name in inputs.texts and array.shape == inputs.rows[name].shape:
            arrays[key] = array[: len(inputs.seen[name])]
    if "pieces" in info:
        grids = [
            [len(inputs.seen[told["input"]])] if told["input"] in inputs.texts else told["grid"]
            for told in info["pieces"]
        ]
        info["pieces"] = [{**told, "grid": grid} for told, grid in zip(info["pieces"], grids, strict=True)]
        counts = [math.prod(grid) for grid in grids]
        arrays["pairs"] = arrays["pairs"][: counts[0], : counts[1]]
    return replace(row, arrays=arrays, info=info)
