"""Nets that look at pictures, volumes and frames."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.zoo.animals import animal
from tests.zoo.blocks import conv


@animal(1, 8, 8, image=True)
class Plain(nn.Module):
    """Convolutions, batch norm, max pooling, a linear head."""

    def __init__(self) -> None:
        super().__init__()
        norm = nn.BatchNorm2d(4)
        self.body = nn.Sequential(conv(1, 4), norm, nn.ReLU(), nn.MaxPool2d(2), conv(4, 6), nn.ReLU())
        self.fc = nn.Linear(6 * 16, 3)
        nn.init.uniform_(norm.get_buffer("running_var"), 0.5, 2.0)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc(self.body(x).flatten(1))
        return output


@animal(3, 8, 8, image=True)
class Residual(nn.Module):
    """A block whose sum is in place, one ReLU used three times, global average pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = conv(3, 4), conv(4, 4), conv(4, 4)
        self.relu, self.fc = nn.ReLU(inplace=True), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.relu(self.a(x))
        y = self.c(self.relu(self.b(h)))
        y += h
        output: Tensor = self.fc(self.relu(y).mean((2, 3)))
        return output


@animal(3, 8, 8)
class SqueezeExcite(nn.Module):
    """A sigmoid gate per channel, as in EfficientNet."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.r, self.e, self.b = conv(3, 6), nn.Conv2d(6, 2, 1), nn.Conv2d(2, 6, 1), conv(6, 6)
        self.fc = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.a(x))
        gate = torch.sigmoid(self.e(torch.relu(self.r(h.mean((2, 3), keepdim=True)))))
        output: Tensor = self.fc(torch.relu(self.b(gate * h)).mean((2, 3)))
        return output


@animal(3, 8, 8)
class Mobile(nn.Module):
    """Depthwise convolutions, ReLU6, hard swish, a linear bottleneck."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.deep, self.down = nn.Conv2d(3, 8, 1), conv(8, 8, groups=8), nn.Conv2d(8, 3, 1)
        self.fc = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.down(functional.relu6(self.deep(functional.hardswish(self.up(x)))))
        output: Tensor = self.fc((x + h).mean((2, 3)))
        return output


class Windowed(nn.Module):
    """Attention within windows of 2 x 2 places, which are folded into the batch axis."""

    def __init__(self, shift: int) -> None:
        super().__init__()
        self.shift, self.norm = shift, nn.LayerNorm(8)
        self.qkv, self.proj = nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        b, h, w, c = x.shape
        x = torch.roll(x, (self.shift, self.shift), (1, 2))
        parts = x.view(b, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 4, c)
        q, k, v = self.qkv(self.norm(parts)).chunk(3, -1)
        parts = self.proj((q @ k.transpose(1, 2) / c**0.5).softmax(-1) @ v)
        x = parts.view(b, h // 2, w // 2, 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(b, h, w, c)
        return torch.roll(x, (-self.shift, -self.shift), (1, 2))


@animal(1, 8, 8)
class Swin(nn.Module):
    """Patches, then plain and shifted windows."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.blocks = nn.Conv2d(1, 8, 2, 2), nn.ModuleList([Windowed(0), Windowed(1)])
        self.mlp, self.fc = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8)), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.patches(x).permute(0, 2, 3, 1)
        for block in self.blocks:
            h = h + block(h)
        output: Tensor = self.fc((h + self.mlp(h)).mean((1, 2)))
        return output


@animal(2, 8, 8)
class GroupNormed(nn.Module):
    """Group norm, leaky ReLU, average pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.n, self.pool, self.fc = conv(2, 4), nn.GroupNorm(2, 4), nn.AvgPool2d(2), nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc(self.pool(functional.leaky_relu(self.n(self.a(x)), 0.1)).flatten(1))
        return output


@animal(1, 6, 6)
class NormedOverItsBatch(nn.Module):
    """Batch norm without running statistics: its answer depends on who shares the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.n, self.fc = conv(1, 4), nn.BatchNorm2d(4, track_running_stats=False), nn.Linear(144, 3)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc(torch.relu(self.n(self.a(x))).flatten(1))
        return output


@animal(1, 9, 9)
class Dilated(nn.Module):
    """Dilated and strided convolutions, ELU and SiLU."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.fc = conv(1, 3, padding=2, dilation=2), conv(3, 4, stride=2), nn.Linear(100, 3)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc(functional.silu(self.b(functional.elu(self.a(x)))).flatten(1))
        return output


@animal(1, 5, 5, output="value")
class Transposed(nn.Module):
    """A picture made larger by transposed convolution and pixel shuffle, judged by its mean."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.up, self.o = conv(1, 4), nn.ConvTranspose2d(4, 4, 4, 2, 1), conv(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        large = functional.pixel_shuffle(self.o(torch.relu(self.up(torch.relu(self.a(x))))), 2)
        return torch.tanh(large).mean((1, 2, 3))


@animal(4, 8, 8)
class Rgbd(nn.Module):
    """Two streams, colour and depth, cut from one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.colour, self.depth, self.fc = conv(3, 4), conv(1, 4), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        colour, depth = torch.relu(self.colour(x[:, :3])), torch.relu(self.depth(x[:, 3:]))
        output: Tensor = self.fc(torch.cat([colour, depth], 1).amax((2, 3)))
        return output


@animal(2, 1, 6, 6, output="value")
class Siamese(nn.Module):
    """The likeness of two pictures by one encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(conv(1, 4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))

    def forward(self, x: Tensor) -> Tensor:
        return functional.cosine_similarity(self.encoder(x[:, 0]), self.encoder(x[:, 1]), dim=1)


@animal(1, 8, 8)
class Vit(nn.Module):
    """Patches, a class token, positions, self-attention."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.token = nn.Conv2d(1, 8, 4, 4), nn.Parameter(torch.randn(1, 1, 8))
        self.places = nn.Parameter(torch.randn(1, 5, 8))
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", batch_first=True, norm_first=True)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.patches(x).flatten(2).transpose(1, 2)
        h = torch.cat([self.token.expand(len(h), -1, -1), h], 1) + self.places
        output: Tensor = self.fc(self.layer(h)[:, 0])
        return output


@animal(3, 8, 8)
class ChannelsLast(nn.Module):
    """ConvNeXt's block: depthwise, then linear layers over the last axis."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.deep = nn.Conv2d(3, 6, 2, 2), conv(6, 6, groups=6)
        self.norm, self.mlp = nn.LayerNorm(6), nn.Sequential(nn.Linear(6, 12), nn.GELU(), nn.Linear(12, 6))
        self.fc = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        h = h + self.mlp(self.norm(self.deep(h).permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        output: Tensor = self.fc(h.mean((2, 3)))
        return output


@animal(1, 8, 8)
class Inception(nn.Module):
    """Branches of several sizes, concatenated; max pooling with stride 1; adaptive pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.three, self.five = nn.Conv2d(1, 2, 1), conv(1, 2), conv(1, 2, 5)
        self.pool, self.after, self.fc = nn.MaxPool2d(3, 1, 1), nn.AdaptiveAvgPool2d(2), nn.Linear(28, 3)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.one(x), self.three(x), self.five(x), self.pool(x)]
        output: Tensor = self.fc(self.after(torch.relu(torch.cat(parts, 1))).flatten(1))
        return output
