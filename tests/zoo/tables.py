"""Nets over rows of a table, graphs and points."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.zoo.animals import animal


@animal(6)
class Tabular(nn.Module):
    """Two columns are looked up, the rest are numbers; layer norm, GELU, dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.place, self.kind = nn.Embedding(5, 3), nn.Embedding(4, 2)
        self.body = nn.Sequential(nn.Linear(9, 8), nn.LayerNorm(8), nn.GELU(), nn.Dropout(0.2), nn.Linear(8, 3))

    def forward(self, x: Tensor) -> Tensor:
        place, kind = (x[:, i].abs().long().clamp(max=3) for i in (0, 1))
        output: Tensor = self.body(torch.cat([self.place(place), self.kind(kind), x[:, 2:]], 1))
        return output


@animal(5, 3)
class GraphNet(nn.Module):
    """Messages along fixed edges: gather and scatter_add with constant indices."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("source", torch.tensor([0, 1, 1, 2, 3, 4, 0]))
        self.register_buffer("sink", torch.tensor([1, 0, 2, 3, 4, 0, 2]))
        self.one, self.two, self.fc = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2)

    def spread(self, h: Tensor) -> Tensor:
        sent = h[:, self.get_buffer("source")]
        return torch.zeros_like(h).scatter_add(1, self.get_buffer("sink").view(1, -1, 1).expand_as(sent), sent)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.spread(self.one(x)))
        output: Tensor = self.fc(torch.relu(self.spread(self.two(h))).sum(1))
        return output


@animal(7, 3)
class Points(nn.Module):
    """A set of points through one net each, then their maximum."""

    def __init__(self) -> None:
        super().__init__()
        self.each = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU())
        self.fc = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc(self.each(x).amax(1))
        return output


@animal(6)
class Mixture(nn.Module):
    """A softmax of experts: products of two paths from the input."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.experts = nn.Linear(6, 3), nn.Linear(6, 9)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.experts(x).view(-1, 3, 3)
        output: Tensor = (self.gate(x).softmax(1).unsqueeze(2) * torch.tanh(parts)).sum(1)
        return output


@animal(6)
class Maxout(nn.Module):
    """The larger of two linear maps, PReLU, a square root, a quotient."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.act, self.fc = nn.Linear(6, 8), nn.Linear(6, 8), nn.PReLU(), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.act(torch.maximum(self.a(x), self.b(x)))
        output: Tensor = self.fc(h / (h.square().sum(1, keepdim=True) + 1).sqrt())
        return output


@animal(8)
class ResidualRow(nn.Module):
    """A residual net over a row, weights shared by its two steps, batch norm over features."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.norm, self.step, self.fc = nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.up(x))
        for _ in range(2):
            h = h + functional.relu(self.step(h))
        output: Tensor = self.fc(h)
        return output
