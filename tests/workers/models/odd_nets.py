"""Nets that people bring to `whence export` and that a plain trace gets wrong, or cannot take; each seeded."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional


class StraightThrough(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.sign()

    @staticmethod
    def backward(ctx: Any, *slopes: Any) -> Any:
        return slopes[0]


class Reversal(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *slopes: Any) -> Any:
        return -slopes[0]


def reversed_gradient(x: Tensor) -> Tensor:
    output: Tensor = Reversal.apply(x)  # type: ignore[no-untyped-call]
    return output


class OpenClamp(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clamp(0, 1)

    @staticmethod
    def backward(ctx: Any, *slopes: Any) -> Any:
        return slopes[0]


class FrugalSwish(Function):
    """A backward that is written out, and is the function's own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx: Any, *slopes: Any) -> Any:
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(x)
        return slopes[0] * s * (1 + x * (1 - s))


class Layer(nn.Module):
    """A layer that is a function of its input."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def around(function: Any, dtype: torch.dtype = torch.float32) -> nn.Module:
    """A net of four numbers with that function in its middle, as the layer 1."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), Layer(function), nn.Linear(6, 2)).to(dtype)


def hooked(x: Tensor) -> Tensor:
    x = x * 1
    if x.requires_grad:
        x.register_hook(lambda slope: slope * 0.1)  # type: ignore[no-untyped-call]
    return x


def partly_without_gradients(x: Tensor) -> Tensor:
    with torch.no_grad():
        y = x * 2
    return x + y


def without_gradients(x: Tensor) -> Tensor:
    with torch.no_grad():
        return x.relu()


def steady_softmax(x: Tensor) -> Tensor:
    """Its detach changes no gradient."""
    e = (x - x.amax(1, keepdim=True).detach()).exp()
    return e / e.sum(1, keepdim=True)


class Ids(nn.Module):
    """Tokens with padding; `cast`: whether it makes whole numbers of its input itself."""

    def __init__(self, cast: bool = True, padding: int = 0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cast, self.padding = cast, padding
        self.words, self.places = nn.Embedding(20, 8, padding_idx=padding), nn.Embedding(6, 8)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2)
        self.head = nn.Linear(8, 2)

    def forward(self, ids: Tensor) -> Tensor:
        ids = ids.long() if self.cast else ids
        h = self.encoder(self.words(ids) + self.places.weight, src_key_padding_mask=ids == self.padding)
        kept = (ids != self.padding).to(h.dtype).unsqueeze(2)
        output: Tensor = self.head((h * kept).sum(1) / kept.sum(1).clamp(min=1))
        return output


class Bag(nn.Module):
    """Tokens looked up and averaged by one call."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words, self.fc = nn.EmbeddingBag(20, 8), nn.Linear(8, 2)

    def forward(self, ids: Tensor) -> Tensor:
        output: Tensor = self.fc(self.words(ids.long()))
        return output


class Columns(nn.Module):
    """A table whose first two columns are looked up."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.other, self.fc = nn.Embedding(5, 3), nn.Embedding(7, 3), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc(torch.cat([self.one(x[:, 0].long()), self.other(x[:, 1].long()), x[:, 2:]], 1))
        return output


class Convolutions(nn.Module):
    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.fc = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2)
        self.to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc(self.norm(self.conv(x)).relu().mean((2, 3)))
        return output


class Normed(nn.Module):
    """Casts its input and its output."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.dtype = dtype
        self.fc, self.norm, self.head = nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 2)
        self.to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.fc(x.to(self.dtype)))
        y = y.masked_fill(y < -1, torch.finfo(y.dtype).min)
        output: Tensor = self.head(y.softmax(1)).float()
        return output


class Recurrent(nn.Module):
    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.fc = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 2)
        self.to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc(self.rnn(x)[0][:, -1])
        return output


class Mixed(nn.Module):
    """Two types of weights, and a region of mixed precision."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.short, self.long = nn.Linear(4, 6).bfloat16(), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.short(x.to(torch.bfloat16)).relu().to(torch.float32)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            z = self.long(y)
        output: Tensor = z.float() + torch.zeros(2)
        return output


class Spectrogram(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.register_buffer("window", torch.hann_window(16))
        self.filter = nn.Parameter(torch.randn(9, 1, dtype=torch.complex64))
        self.fc = nn.Linear(9, 3)

    def forward(self, x: Tensor) -> Tensor:
        z = torch.stft(x, 16, 8, window=self.get_buffer("window"), return_complex=True) * self.filter
        output: Tensor = self.fc((z.abs() + 1e-3).log().mean(2))
        return output


class Strided(nn.Module):
    """Weights and constants that are views of other memory, and two names for one."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.turned = nn.Parameter(torch.randn(8, 4).t())
        self.same = self.turned
        self.spread = nn.Parameter(torch.randn(1).expand(2))
        self.plain = torch.randn(12)[::3]
        self.register_buffer("order", torch.tensor([9, 2, 9, 0, 9, 3, 9, 1])[1::2])

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, self.get_buffer("order")] + self.plain
        return functional.linear(x, self.turned.t()[::4] + self.same.t()[1::4]) + self.spread


class AlwaysTraining(nn.Module):
    """Its mode cannot be changed."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner = nn.Sequential(nn.Linear(4, 6), nn.Dropout(), nn.Linear(6, 2))

    def train(self, mode: bool = True) -> AlwaysTraining:
        return super().train(True)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.inner(x)
        return output


class Remembers(nn.Module):
    """Adds what it answered last, kept as an attribute or in a buffer."""

    def __init__(self, buffer: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.buffer = nn.Linear(4, 2), buffer
        self.register_buffer("last", torch.zeros(2))
        self.before: Any = 0

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc(x) + self.get_buffer("last") + self.before
        if self.buffer:
            self.get_buffer("last").copy_(y.detach().mean(0))
        else:
            self.before = y.detach().mean(0)
        return y
