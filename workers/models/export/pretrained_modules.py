"""Modules of the transformers library as Whence is given models: one tensor for each input, one out."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

TURNED = ("mbart", "plbart")  # whose decoders begin with the last token of the text
Head = Callable[[Any, Tensor], Tensor]  # what is explained, of what the library's model returns and which are tokens


class TextModel(nn.Module):
    """A model of texts that is given ids, and of which of two texts each is: by their id it sees which are padding."""

    def __init__(self, model: nn.Module, padding: int, head: Head) -> None:
        super().__init__()
        self.model = model
        self.padding = padding
        self.head = head

    def forward(self, ids: Tensor, types: Tensor | None = None) -> Tensor:
        there = ids != self.padding
        more = {} if types is None else {"token_type_ids": types}
        return self.head(self.model(input_ids=ids, attention_mask=there.long(), return_dict=True, **more), there)


class LastEnd(nn.Module):
    """A classifier that reads the last token that ends a text, as BART's and T5's do, for texts of any number of them.

    The library's own finds the ends by a mask, and of how many rows is then not known beforehand. What its decoder is
    given is the text one place later, of the same vectors.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.base, self.classification_head = model.base_model, model.classification_head
        self.end, self.start = model.config.eos_token_id, model.config.decoder_start_token_id
        self.turned = model.config.model_type in TURNED

    def forward(self, input_ids: Tensor, attention_mask: Tensor, return_dict: bool) -> SimpleNamespace:
        given = self.base.encoder.embed_tokens(input_ids)
        if self.turned:
            first = at_places(given, last_place(attention_mask != 0))
        else:
            start = torch.full_like(input_ids[:, 0], self.start)
            first = self.base.decoder.embed_tokens(start)
        later = torch.cat([first.unsqueeze(1), given[:, :-1]], 1)
        out = self.base(
            inputs_embeds=given,
            attention_mask=attention_mask,
            decoder_inputs_embeds=later,
            return_dict=return_dict,
        )
        read = at_places(out.last_hidden_state, last_place(input_ids == self.end))
        return SimpleNamespace(logits=self.classification_head(read))


def last_place(chosen: Tensor) -> Tensor:
    """The last place of each row (n, tokens) that is chosen."""
    return (chosen.long() * torch.arange(chosen.shape[1], device=chosen.device)).argmax(1)


def at_places(hidden: Tensor, places: Tensor) -> Tensor:
    """What each row (n, tokens, k) has at a place of its own."""
    return hidden[torch.arange(hidden.shape[0], device=hidden.device), places]


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
