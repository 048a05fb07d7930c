"""Nets whose weights, places or order are made of the input: experts, kernels, warps, sorts, routing."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.zoo.animals import animal


@animal(3, 8, 8, image=True)
class KernelsOfTheInput(nn.Module):
    """Each picture has a kernel of its own, mixed of three: the batch becomes groups of one convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.route, self.head = nn.Linear(3, 3), nn.Linear(4, 3)
        self.kernels = nn.Parameter(torch.randn(3, 4 * 3 * 3 * 3) * 0.2)

    def forward(self, x: Tensor) -> Tensor:
        mixed = torch.sigmoid(self.route(x.mean((2, 3)))) @ self.kernels
        rows = x.shape[0]
        apart = functional.conv2d(
            x.reshape(1, rows * 3, 8, 8), mixed.view(rows * 4, 3, 3, 3), padding=1, groups=rows
        ).view(rows, 4, 8, 8)
        output: Tensor = self.head(torch.relu(apart).mean((2, 3)))
        return output


@animal(1, 8, 8, image=True)
class Warped(nn.Module):
    """A spatial transformer: a picture sampled where an affine map of it says."""

    def __init__(self) -> None:
        super().__init__()
        self.place, self.head = nn.Linear(64, 6), nn.Linear(64, 3)
        with torch.no_grad():
            self.place.weight.mul_(0.05)
            self.place.bias.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0]))

    def forward(self, x: Tensor) -> Tensor:
        grid = functional.affine_grid(self.place(x.flatten(1)).view(-1, 2, 3), list(x.shape), align_corners=False)
        output: Tensor = self.head(functional.grid_sample(x, grid, align_corners=False).flatten(1))
        return output


@animal(12)
class TwoOfFourExperts(nn.Module):
    """The two experts that a gate prefers, gathered from all."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.experts = nn.Linear(12, 4), nn.ModuleList(nn.Linear(12, 3) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        best, which = self.gate(x).topk(2, 1)
        said = torch.stack([one(torch.tanh(x)) for one in self.experts], 1)
        chosen: Tensor = said.gather(1, which[..., None].expand(-1, -1, 3))
        output: Tensor = (chosen * best.softmax(1)[..., None]).sum(1)
        return output


@animal(10)
class InOrder(nn.Module):
    """Hidden values sorted, and how they stand to the input by a skip."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(10, 8), nn.Linear(8, 10), nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.head(torch.tanh(x) + self.second(torch.sort(self.first(x), 1).values))
        return output


@animal(1, 8, 8, image=True)
class Unpooled(nn.Module):
    """What a pooling took is put back where it was."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        most, where = functional.max_pool2d(torch.relu(self.first(x)), 2, return_indices=True)
        output: Tensor = self.head(torch.relu(self.second(functional.max_unpool2d(most, where, [2, 2]))).mean((2, 3)))
        return output


@animal(2, 8, 8)
class FourierOperator(nn.Module):
    """A linear map of the lowest frequencies beside one of each place."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, 4, 4, 3, 2) * 0.3)
        self.beside, self.head = nn.Conv2d(2, 4, 1), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        low = torch.fft.rfft2(x)[:, :, :4, :3]
        mapped = torch.einsum("bixy,ioxy->boxy", low, torch.view_as_complex(self.weight))
        whole = functional.pad(torch.view_as_real(mapped), (0, 0, 0, 2, 0, 4))
        smooth = torch.fft.irfft2(torch.view_as_complex(whole), s=(8, 8))
        output: Tensor = self.head(functional.gelu(smooth + self.beside(x)).mean((2, 3)))
        return output


@animal(3, 8, 8, image=True)
class Routed(nn.Module):
    """Capsules: what each votes for is weighed by how far it agrees with the rest."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.votes = nn.Conv2d(3, 8, 3, stride=2), nn.Parameter(torch.randn(1, 18, 3, 6, 4) * 0.3)

    def forward(self, x: Tensor) -> Tensor:
        vote = (self.votes @ _squashed(self.first(x).flatten(1).view(-1, 18, 4))[:, :, None, :, None]).squeeze(-1)
        agreed = torch.zeros_like(vote[..., 0])
        for _ in range(2):
            chosen = _squashed((agreed.softmax(2)[..., None] * vote).sum(1, keepdim=True))
            agreed = agreed + (vote * chosen).sum(-1)
        output: Tensor = chosen.squeeze(1).norm(dim=-1)
        return output


def _squashed(x: Tensor) -> Tensor:
    size = (x * x).sum(-1, keepdim=True)
    return size / (1 + size) * x / (size.sqrt() + 1e-8)
