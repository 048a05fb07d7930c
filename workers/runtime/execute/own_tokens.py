"""What is told of a text is of its own tokens, not of the padding that it shares a pass with."""

from __future__ import annotations

import math
from dataclasses import replace

from workers.explanation.card import OPEN, ModelCard
from workers.explanation.inputs import ONE
from workers.explanation.result import Row
from workers.runtime.execute.model_inputs import Prepared


def card_of_tokens(card: ModelCard, published: ModelCard, inputs: Prepared) -> ModelCard:
    """The card for a text's padded length with its own length in its place, where `published` has an axis of any."""
    if len(inputs.texts) != 1:
        return card
    (name,) = inputs.texts
    padded, own = len(inputs.rows[name]), len(inputs.seen[name])

    def cut(shape: tuple[int, ...], open_: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(own if (size, most) == (padded, OPEN) else size for size, most in zip(shape, open_, strict=True))

    lengths = {layer.name: layer.shape for layer in published.layers}
    layers = (one.model_copy(update={"shape": cut(one.shape, lengths.get(one.name, one.shape))}) for one in card.layers)
    return card.model_copy(update={"outputs": cut(card.outputs, published.outputs), "layers": tuple(layers)})


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
