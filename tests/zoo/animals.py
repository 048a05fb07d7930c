"""What a net of the zoo is, and how one is entered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from workers.explanation.card import OPEN, ImageSpec, InputSpec, Output
from workers.explanation.inputs import ONE, is_plain, laid, words_of

Entry = Callable[[type[nn.Module]], type[nn.Module]]
TOKENS = 8  # of a text of any length, where nothing says another


@dataclass(frozen=True)
class Animal:
    """A net that people bring: its module (in evaluation, float32), what it takes by name, what its output is."""

    build: Callable[[], nn.Module]
    takes: Mapping[str, InputSpec]
    output: Output = "logits"
    ids: int = 0  # how many ids there are, where an input is ids
    select: str | int | None = None

    def module(self) -> nn.Module:
        """The net with the same random weights every time."""
        torch.manual_seed(7)
        return self.build().eval().requires_grad_(False)

    @property
    def is_text(self) -> bool:
        """Whether it takes texts of any length."""
        return any(spec.kind == "text" for spec in self.takes.values())

    def rows(self, n: int, seed: int = 0, tokens: int = TOKENS) -> dict[str, Tensor]:
        """n plausible inputs by name, each (n, *shape), with what is laid beside texts.

        A text has 3 to 7 tokens, of which the first is none of its own, and behind them fillers up to `tokens`.
        """
        draw = torch.Generator().manual_seed(seed)
        made = {}
        for name, spec in self.takes.items():
            if spec.kind == "text":
                made.update(_text(name, spec, n, self.ids, tokens, draw))
            elif spec.dtype == "int64" or (self.ids and is_plain(self.takes)):
                made[name] = _ids(spec, n, self.ids, draw)
            else:
                made[name] = torch.randn(n, *spec.shape, generator=draw)
        return {name: made[name] for name in laid(self.takes)}


def _ids(spec: InputSpec, n: int, count: int, draw: torch.Generator) -> Tensor:
    """Whole numbers, the last a filler; of what is held, which places are no fillers."""
    if spec.held:
        return (torch.arange(spec.shape[0]) < spec.shape[0] - 1).long().expand(n, -1).clone()
    ids = torch.randint(1, count, (n, *spec.shape), generator=draw)
    if spec.padding is not None or spec.dtype == "float32":
        ids[:, -1] = 0
    return ids if spec.dtype == "int64" else ids.float()


def _text(name: str, spec: InputSpec, n: int, count: int, tokens: int, draw: torch.Generator) -> dict[str, Tensor]:
    length = tokens if OPEN in spec.shape else spec.shape[0]
    own = torch.randint(3, 8, (n, 1), generator=draw)
    there = torch.arange(length) < own
    ids = torch.randint(3, count, (n, 7), generator=draw)
    ids = torch.nn.functional.pad(ids, (0, length - 7))
    ids[:, 0] = 2
    words = torch.where(there, (torch.arange(length) - 1).div(2, rounding_mode="floor"), -1)
    words[:, 0] = -1
    fed = {
        "input_ids": ids * there,
        "attention_mask": there.long(),
        "token_type_ids": (torch.arange(length) > 3) * there,
    }
    found = {name if feed == "input_ids" else f"{name}.{feed}": fed[feed].long() for feed in spec.feeds}
    return {**found, words_of(name): words}


ZOO: dict[str, Animal] = {}


def animal(*shape: int, output: Output = "logits", image: bool = False, ids: int = 0) -> Entry:
    """Enter a class of nets of one input into the zoo, under its name in snake case."""
    spec = InputSpec(kind="tensor", shape=shape)
    if image:
        each = (0.5,) * shape[0]
        colours = ImageSpec(mode="RGB" if len(each) == 3 else "L", mean=each, std=each)
        spec = InputSpec(kind="image", shape=shape, image=colours)
    return _entry({ONE: spec}, output, ids, None)


def animal_of(*, output: Output = "logits", ids: int = 0, select: str | int | None = None, **takes: InputSpec) -> Entry:
    """Enter a class of nets that takes inputs by name, in the order of its arguments."""
    return _entry(takes, output, ids, select)


def _entry(takes: Mapping[str, InputSpec], output: Output, ids: int, select: str | int | None) -> Entry:
    def entered(kind: type[nn.Module]) -> type[nn.Module]:
        name = "".join(f"_{c.lower()}" if c.isupper() else c for c in kind.__name__).lstrip("_")
        ZOO[name] = Animal(kind, takes, output, ids, select)
        return kind

    return entered
