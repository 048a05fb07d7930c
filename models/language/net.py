"""The demo model of words: which of five languages a line of text is in. 190,000 weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

PIECES = 2000
WIDTH = 64
LANGUAGES = 5
PAD = 0


class Language(nn.Module):
    """Pieces looked up, a look at each with its neighbours, their mean, a score for each language.

    Padding is left out by its id, so that a line says the same however long its row is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pieces = nn.Embedding(PIECES, WIDTH, padding_idx=PAD)
        self.near = nn.Conv1d(WIDTH, 2 * WIDTH, 3, padding=1)
        self.act = nn.ReLU()
        self.mix = nn.Linear(2 * WIDTH, WIDTH)
        self.act2 = nn.ReLU()
        self.drop = nn.Dropout(0.2)
        self.score = nn.Linear(WIDTH, LANGUAGES)

    def forward(self, ids: Tensor) -> Tensor:
        """Ids (n, length) to logits (n, 5)."""
        there = (ids != PAD).unsqueeze(2).to(self.score.weight.dtype)
        x = self.pieces(ids) * there
        x = self.act(self.near(x.transpose(1, 2)).transpose(1, 2)) * there
        mean = x.sum(1) / there.sum(1).clamp(min=1)
        logits: Tensor = self.score(self.drop(self.act2(self.mix(mean))))
        return logits


def build() -> nn.Module:
    """The architecture; weights.safetensors fills it."""
    torch.manual_seed(0)
    return Language()
