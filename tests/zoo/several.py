"""Nets of several inputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.several import IMAGE, ROW, Depth, ImageAndRow, Siamese
from tests.zoo.animals import animal_of
from workers.explanation.card import ImageSpec, InputSpec

GREY = InputSpec(kind="image", shape=(1, 6, 6), image=ImageSpec(mode="L", mean=(0.5,), std=(0.5,)))
IDS = InputSpec(shape=(6,), dtype="int64", padding=0)
MASK = InputSpec(shape=(6,), dtype="int64", held=True)

animal_of(image=IMAGE, row=ROW)(ImageAndRow)
animal_of(left=InputSpec(shape=(1, 8, 8)), right=InputSpec(shape=(1, 8, 8)))(Siamese)
animal_of(rgb=IMAGE, depth=InputSpec(shape=(1, 8, 8), low=0.0, high=3.0))(Depth)


@animal_of(image=GREY, ids=20, words=IDS, mask=MASK)
class ImageAndWords(nn.Module):
    """A picture, ids and which of them are there, joined before the head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.embedding, self.head = nn.Conv2d(1, 4, 3), nn.Embedding(20, 4), nn.Linear(8, 3)

    def forward(self, image: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        seen = torch.relu(self.conv(image)).mean((2, 3))
        weights = mask[..., None] / mask.sum(1)[:, None, None]
        read = (torch.tanh(self.embedding(words)) * weights).sum(1)
        output: Tensor = self.head(torch.cat([seen, read], 1))
        return output


@animal_of(image=GREY, ids=20, words=IDS, output="value")
class PictureAndCaption(nn.Module):
    """How well a caption goes with a picture: the cosine of what two encoders make of them."""

    def __init__(self) -> None:
        super().__init__()
        self.see = nn.Sequential(nn.Conv2d(1, 4, 3, stride=3), nn.GELU(), nn.Flatten(), nn.Linear(16, 5))
        self.embedding, self.read = nn.Embedding(20, 4), nn.Linear(4, 5)

    def forward(self, image: Tensor, words: Tensor) -> Tensor:
        one = functional.normalize(self.see(image), dim=1)
        other = functional.normalize(self.read(torch.tanh(self.embedding(words)).mean(1)), dim=1)
        return (one * other).sum(1)


@animal_of(image=GREY, ids=20, words=IDS)
class QuestionOfAPicture(nn.Module):
    """The words of a question attend to the places of a picture."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.embedding = nn.Conv2d(1, 4, 3, stride=3), nn.Embedding(20, 4)
        self.attend, self.norm = nn.MultiheadAttention(4, 2, batch_first=True), nn.LayerNorm(4)
        self.head = nn.Linear(4, 3)

    def forward(self, image: Tensor, words: Tensor) -> Tensor:
        places = self.conv(image).flatten(2).transpose(1, 2)
        asked = self.embedding(words)
        read = self.norm(asked + self.attend(asked, places, places, need_weights=False)[0])
        output: Tensor = self.head(read.mean(1))
        return output


@animal_of(series=InputSpec(shape=(6, 2), axes=("time", "channel")), static=InputSpec(shape=(3,)), output="value")
class SeriesAndRow(nn.Module):
    """A forecast by a series of two channels, and by what stays the same."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.recurrent, self.head = nn.Linear(3, 4), nn.GRU(2, 4, batch_first=True), nn.Linear(8, 1)

    def forward(self, series: Tensor, static: Tensor) -> Tensor:
        still = torch.tanh(self.first(static))
        steps = self.recurrent(series)[0]
        output: Tensor = self.head(torch.cat([steps[:, -1], still], 1))
        return output


@animal_of(row=ROW, gate=InputSpec(shape=(5,), held=True), output="binary")
class Gated(nn.Module):
    """A row, and as context by how much each column counts."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(5, 6), nn.ELU(), nn.Linear(6, 1))

    def forward(self, row: Tensor, gate: Tensor) -> Tensor:
        output: Tensor = self.body(row * gate)
        return output


@animal_of(user=InputSpec(shape=(4,)), item=InputSpec(shape=(3,)), unused=InputSpec(shape=(2,)), output="multilabel")
class TwoTowers(nn.Module):
    """What a user thinks of an item, by products of two towers; a third input says nothing of it."""

    def __init__(self) -> None:
        super().__init__()
        self.user, self.item = nn.Linear(4, 6), nn.Linear(3, 6)

    def forward(self, user: Tensor, item: Tensor, unused: Tensor) -> Tensor:
        both = torch.relu(self.user(user)) * torch.relu(self.item(item)) + 0 * unused.sum(1, keepdim=True)
        return both.view(-1, 3, 2).sum(2)


@animal_of(image=IMAGE, scale=InputSpec(shape=(1,)), output="value", select="scores")
class Detector(nn.Module):
    """Of each of four places a box and scores of two classes; a second input says how large things are."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.boxes, self.scores = nn.Conv2d(3, 4, 4, stride=4), nn.Linear(4, 4), nn.Linear(5, 2)

    def forward(self, image: Tensor, scale: Tensor) -> dict[str, Tensor]:
        places = torch.relu(self.conv(image)).flatten(2).transpose(1, 2)
        sizes = scale[:, None, :].expand(-1, places.shape[1], -1)
        return {"boxes": self.boxes(places), "scores": self.scores(torch.cat([places, sizes], 2))}


@animal_of(image=GREY, prompt=InputSpec(shape=(1, 6, 6)), output="segmentation")
class Prompted(nn.Module):
    """A class for each pixel, by a picture and by where one has pointed to."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.prompt, self.head = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(1, 3, 1), nn.Conv2d(3, 2, 1)

    def forward(self, image: Tensor, prompt: Tensor) -> Tensor:
        output: Tensor = self.head(torch.relu(self.image(image) + self.prompt(prompt)))
        return output


@animal_of(row=ROW, categories=InputSpec(shape=(3,), dtype="int64"), ids=5)
class TabularLearner(nn.Module):
    """A table as tabular learners take it: quantities normed, and an embedding for each column of categories."""

    def __init__(self) -> None:
        super().__init__()
        self.tables = nn.ModuleList([nn.Embedding(5, 3), nn.Embedding(6, 2), nn.Embedding(7, 4)])
        self.norm, self.inner, self.head = nn.BatchNorm1d(5), nn.Linear(14, 6), nn.Linear(6, 3)

    def forward(self, row: Tensor, categories: Tensor) -> Tensor:
        found = [table(categories[:, k]) for k, table in enumerate(self.tables)]
        output: Tensor = self.head(torch.relu(self.inner(torch.cat([*found, self.norm(row)], 1))))
        return output
