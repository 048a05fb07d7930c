"""Modules of the transformers library as Whence is given models: one tensor for each input, one out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


class TextModel(nn.Module):
    """A model of texts that is given ids alone: by their id it sees which are padding."""

    def __init__(self, model: nn.Module, padding: int, head: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.model = model
        self.padding = padding
        self.head = head

    def forward(self, ids: Tensor) -> Tensor:
        there = ids != self.padding
        return self.head(self.model(input_ids=ids, attention_mask=there.long(), return_dict=True), there)


def of_tokens(logits: Tensor, there: Tensor) -> Tensor:
    """The logits of each token (n, tokens, k) as (n, k, tokens), 0 of padding: a sum over tokens is of the text's."""
    return (logits * there.unsqueeze(2).to(logits.dtype)).transpose(1, 2)


class Similarity(nn.Module):
    """The cosine of the angle between the vectors of two texts, by one encoder: (n,)."""

    def __init__(self, encoder: TextModel) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        first, second = (self.encoder(ids) for ids in (one, other))
        sizes = (first * first).sum(1) * (second * second).sum(1)
        cosine: Tensor = (first * second).sum(1) / sizes.clamp(min=1e-24).sqrt()
        return cosine


class Detector(nn.Module):
    """Of each box that a detector finds its corners (n, boxes, 4), and the logits of its classes (n, k, boxes)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        found = self.model(pixel_values=pixels, return_dict=True)
        return {"scores": found.logits.transpose(1, 2), "boxes": found.pred_boxes}


class ImageModel(nn.Module):
    """The logits of a model of images."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.model(pixel_values=pixels, return_dict=True).logits
        return logits
