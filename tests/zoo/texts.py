"""Nets of texts and of ids."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.zoo.animals import animal_of
from workers.explanation.card import InputSpec

VOCABULARY = 20
TEXT = {"kind": "text", "shape": ("*",), "length": 16, "dtype": "int64", "padding": 0, "mask": 1, "axes": ("token",)}
ALONE = InputSpec.model_validate(TEXT)
MASKED = InputSpec.model_validate({**TEXT, "feeds": ("input_ids", "attention_mask")})
WHOLE = InputSpec.model_validate({**TEXT, "feeds": ("input_ids", "attention_mask", "token_type_ids")})
SHORT = InputSpec.model_validate({**TEXT, "shape": (8,), "length": 8})
IDS = InputSpec(shape=(6,), dtype="int64")


class Encoder(nn.Module):
    """One block of a transformer over ids, as BERT has them: a sum of tables, attention but to fillers, layer norms."""

    def __init__(self, behind_fillers: bool = False) -> None:
        super().__init__()
        self.words, self.places, self.kinds = nn.Embedding(VOCABULARY, 4), nn.Embedding(40, 4), nn.Embedding(2, 4)
        self.first, self.last = nn.LayerNorm(4), nn.LayerNorm(4)
        self.query, self.key, self.value, self.out = (nn.Linear(4, 4) for _ in range(4))
        self.inner, self.outer = nn.Linear(4, 8), nn.Linear(8, 4)
        self.behind_fillers = behind_fillers

    def forward(self, ids: Tensor, mask: Tensor, kinds: Tensor) -> Tensor:
        h = self.words(ids) + self.kinds(kinds)
        if self.behind_fillers:  # as RoBERTa counts, by the ids themselves
            h = h + self.places(mask.cumsum(1) * mask)
        else:
            h = h + self.places(torch.arange(ids.shape[1], device=ids.device))
        h = self.first(h)
        q, k, v = (part(h).unflatten(2, (2, 2)).transpose(1, 2) for part in (self.query, self.key, self.value))
        scores = q @ k.transpose(2, 3) / 2**0.5 + (1 - mask[:, None, None].to(h.dtype)) * -1e9
        h = h + self.out((scores.softmax(3) @ v).transpose(1, 2).flatten(2))
        output: Tensor = self.last(h + self.outer(nn.functional.gelu(self.inner(h))))
        return output


def mean(h: Tensor, mask: Tensor) -> Tensor:
    """Over what is no filler."""
    weights = mask.unsqueeze(2).to(h.dtype)
    return (h * weights).sum(1) / weights.sum(1)


def of_tokens(output: Tensor, mask: Tensor) -> Tensor:
    """What is told of each token (n, tokens, k) as (n, k, tokens), nothing of fillers."""
    return (output * mask.unsqueeze(2).to(output.dtype)).transpose(1, 2)


@animal_of(ids=VOCABULARY, text=WHOLE)
class ClassOfAText(nn.Module):
    """By its first token, with its mask and kinds of tokens as it comes."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.pool, self.head = Encoder(), nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, text: Tensor, mask: Tensor, kinds: Tensor) -> Tensor:
        output: Tensor = self.head(torch.tanh(self.pool(self.encoder(text, mask, kinds)[:, 0])))
        return output


@animal_of(ids=VOCABULARY, input=ALONE, output="segmentation")
class ClassOfEachToken(nn.Module):
    """Given ids alone, it sees by them which are fillers, and counts places by them."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.head = Encoder(behind_fillers=True), nn.Linear(4, 3)

    def forward(self, ids: Tensor) -> Tensor:
        mask = (ids != 0).long()
        return of_tokens(self.head(self.encoder(ids, mask, torch.zeros_like(ids))), mask)


@animal_of(ids=VOCABULARY, input=MASKED, output="value")
class Answers(nn.Module):
    """Where an answer starts, and where it ends."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.head = Encoder(), nn.Linear(4, 2)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return of_tokens(self.head(self.encoder(ids, mask, torch.zeros_like(ids))), mask)


@animal_of(ids=VOCABULARY, one=ALONE, other=ALONE, output="value")
class Similarity(nn.Module):
    """The cosine of what one encoder makes of two texts."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()

    def vector(self, ids: Tensor) -> Tensor:
        mask = (ids != 0).long()
        h = mean(self.encoder(ids, mask, torch.zeros_like(ids)), mask)
        return h / h.square().sum(1, keepdim=True).sqrt()

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        return (self.vector(one) * self.vector(other)).sum(1)


@animal_of(ids=VOCABULARY, text=MASKED, row=InputSpec(shape=(3,)), output="binary")
class ReviewAndRow(nn.Module):
    """A text, and columns beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.row, self.head = Encoder(), nn.Linear(3, 4), nn.Linear(8, 1)

    def forward(self, text: Tensor, mask: Tensor, row: Tensor) -> Tensor:
        read = mean(self.encoder(text, mask, torch.zeros_like(text)), mask)
        output: Tensor = self.head(torch.cat([read, torch.relu(self.row(row))], 1))[:, 0]
        return output


@animal_of(ids=VOCABULARY, input=IDS)
class ConvolutionsOverIds(nn.Module):
    """Ids without a tokenizer: windows of two widths, the largest of each."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, 4)
        self.two, self.three, self.head = nn.Conv1d(4, 3, 2), nn.Conv1d(4, 3, 3), nn.Linear(6, 3)

    def forward(self, ids: Tensor) -> Tensor:
        h = self.words(ids).transpose(1, 2)
        output: Tensor = self.head(torch.cat([torch.relu(c(h)).amax(2) for c in (self.two, self.three)], 1))
        return output


@animal_of(ids=VOCABULARY, input=SHORT)
class RecurrentReader(nn.Module):
    """A text of a fixed length, read step by step in both directions."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.read = nn.Embedding(VOCABULARY, 4), nn.LSTM(4, 3, batch_first=True, bidirectional=True)
        self.head = nn.Linear(6, 2)

    def forward(self, ids: Tensor) -> Tensor:
        mask = (ids != 0).long()
        output: Tensor = self.head(mean(self.read(self.words(ids))[0], mask))
        return output


@animal_of(ids=VOCABULARY, one=IDS, other=IDS)
class SharedTable(nn.Module):
    """Two lists of ids by one table, which also is the head: weights tied, a product of both."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, 4)

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        both = self.words(one).mean(1) * self.words(other).mean(1)
        return torch.tanh(both) @ self.words.weight.t()


@animal_of(ids=VOCABULARY, input=ALONE)
class TimeFirst(nn.Module):
    """Its ids are turned before they are looked up, as torchtext's and XLNet's are: steps come first, rows second."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.mix, self.head = nn.Embedding(VOCABULARY, 4), nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, ids: Tensor) -> Tensor:
        turned = ids.t()
        h = torch.tanh(self.mix(self.words(turned))).square()
        there = (turned != 0).to(h.dtype).unsqueeze(2)
        output: Tensor = self.head((h * there).sum(0) / there.sum(0))
        return output


@animal_of(ids=VOCABULARY, input=ALONE)
class LastOwnToken(nn.Module):
    """Places from a table of 16, attention to what came before, read at the last token of its own, as GPT-2 is."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(VOCABULARY, 4), nn.Embedding(16, 4)
        self.attention, self.head = nn.Linear(4, 12), nn.Linear(4, 3)

    def forward(self, ids: Tensor) -> Tensor:
        at = torch.arange(ids.shape[1], device=ids.device)
        h = self.words(ids) + self.places(at)
        q, k, v = self.attention(h).chunk(3, 2)
        later = at[None, :] > at[:, None]
        h = h + (q @ k.transpose(1, 2) / 2).masked_fill(later, -1e9).softmax(2) @ v
        last = (at * (ids != 0)).argmax(1)
        output: Tensor = self.head(h[torch.arange(ids.shape[0], device=ids.device), last])
        return output
