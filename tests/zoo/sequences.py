"""Nets that read series, texts and sound."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.zoo.animals import animal


@animal(5, 3)
class Gru(nn.Module):
    """Two layers with dropout between them, read at their last step."""

    def __init__(self) -> None:
        super().__init__()
        self.r, self.fc = nn.GRU(3, 4, 2, batch_first=True, dropout=0.4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc(self.r(x)[0][:, -1])
        return output


@animal(5, 3)
class Lstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.r, self.fc = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc(self.r(x)[1][0][-1])
        return output


@animal(5, 3)
class Bidirectional(nn.Module):
    """Its steps come first, its rows second."""

    def __init__(self) -> None:
        super().__init__()
        self.r, self.fc = nn.LSTM(3, 4, bidirectional=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        steps = self.r(x.transpose(0, 1))[0]
        output: Tensor = self.fc(steps.mean(0))
        return output


@animal(6, ids=20)
class MaskedTransformer(nn.Module):
    """Ids, a padding mask made of them, a mean over what is no padding."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(20, 8, padding_idx=0), nn.Embedding(6, 8)
        self.layer, self.fc = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        ids = x.long()
        padding = ids == 0
        h = self.layer(self.words(ids) + self.places.weight, src_key_padding_mask=padding)
        real = (~padding).to(h.dtype).unsqueeze(2)
        output: Tensor = self.fc((h * real).sum(1) / real.sum(1).clamp(min=1))
        return output


@animal(6, ids=12)
class BagOfWords(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.fc = nn.EmbeddingBag(12, 6, mode="mean"), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc(torch.relu(self.words(x.long())))
        return output


@animal(2, 12)
class TemporalConvolutions(nn.Module):
    """Causal and dilated, with a residual sum and weight that is shared."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.c, self.fc = nn.Conv1d(2, 4, 1), nn.Conv1d(4, 4, 2, dilation=2), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.up(x)
        for _ in range(2):
            h = h + torch.relu(self.c(functional.pad(h, (2, 0))))
        output: Tensor = self.fc(h[:, :, -1])
        return output


@animal(32)
class Spectrogram(nn.Module):
    """Complex numbers on the way: the magnitude of a short-time Fourier transform."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(8))
        self.c, self.fc = nn.Conv1d(5, 4, 3, padding=1), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        spectrum = torch.stft(x, 8, 4, window=self.get_buffer("window"), center=False, return_complex=True)
        output: Tensor = self.fc(torch.relu(self.c((spectrum.abs() + 1e-3).log())).mean(2))
        return output


@animal(6, 4)
class CrossAttention(nn.Module):
    """A learnt query attends to the steps of the input."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(1, 1, 4))
        self.attend, self.fc = nn.MultiheadAttention(4, 2, batch_first=True), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        read = self.attend(self.query.expand(len(x), -1, -1), x, x, need_weights=False)[0]
        output: Tensor = self.fc(read[:, 0])
        return output


@animal(8, 4)
class Gated(nn.Module):
    """Gated linear units and RMS norm, as in Llama's blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.gate, self.up = nn.RMSNorm(4), nn.Linear(4, 6), nn.Linear(4, 6)
        self.down, self.fc = nn.Linear(6, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        h = x + self.down(functional.silu(self.gate(h)) * self.up(h))
        output: Tensor = self.fc(h.mean(1))
        return output


@animal(3, 12)
class EachChannelAlone(nn.Module):
    """Three series through one net for single series, folded into its batch axis."""

    def __init__(self) -> None:
        super().__init__()
        self.c, self.fc = nn.Conv1d(1, 4, 3, padding=1), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.shape[0]
        h = torch.relu(self.c(x.reshape(rows * 3, 1, 12))).amax(2)
        output: Tensor = self.fc(h.reshape(rows, 12))
        return output
