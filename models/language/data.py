"""Lines of words in five languages, drawn from word lists; a tenth of the words is kept for the test."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

LISTS = {
    "English": "american-english",
    "French": "french",
    "German": "ngerman",
    "Italian": "italian",
    "Spanish": "spanish",
}
SHORT = 4  # letters: what holds sentences together is short, and rare in a list of words


def read_words(folder: Path) -> dict[str, list[str]]:
    """The words of each language, small letters, in the order of LISTS; raises FileNotFoundError for a missing list."""
    return {
        language: sorted({word.strip().lower() for word in (folder / name).read_text("utf-8").splitlines()} - {""})
        for language, name in LISTS.items()
    }


def is_test(word: str) -> bool:
    """Whether a word is for the test: one in ten, the same in every language and run."""
    return hashlib.sha256(word.encode()).digest()[0] < 26


def lines(words: dict[str, list[str]], count: int, draw: np.random.Generator) -> tuple[list[str], list[int]]:
    """Lines of 2 to 9 words, a third of them short ones, and which language each is in."""
    pools = [(every, [word for word in every if len(word) <= SHORT]) for every in words.values()]
    texts, labels = [], draw.integers(len(pools), size=count).tolist()
    for label in labels:
        every, short = pools[label]
        picks = draw.random(draw.integers(2, 10)) < 1 / 3
        texts.append(" ".join((pool := short if few else every)[draw.integers(len(pool))] for few in picks))
    return texts, labels
