"""Words of many texts: of each class those that count most, by the sum of their numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MOST_WORDS = 50_000  # of all texts together: words that come later are not counted
TOLD = 20  # of each class


@dataclass
class Words:
    """Of each input that is a text, by class and word (in small letters) how often it came and what it did in all."""

    found: dict[str, dict[int, dict[str, list[float]]]] = field(default_factory=dict)
    left_out: int = 0
    different: int = 0

    def add(self, group: int, texts: Mapping[str, Any]) -> None:
        """The texts of one item, by name; those whose words have no numbers are passed over."""
        for name, text in texts.items():
            own = self.found.setdefault(name, {}).setdefault(group, {})
            for word in text["words"]:
                if "value" in word:
                    self._count(own, word["text"].lower(), float(word["value"]))

    def _count(self, own: dict[str, list[float]], word: str, value: float) -> None:
        if word not in own:
            if self.different >= MOST_WORDS:
                self.left_out += 1
                return
            self.different += 1
            own[word] = [0, 0.0]
        own[word][0] += 1
        own[word][1] += value

    def info(self) -> dict[str, Any]:
        """By input, for each class the words of the largest sums: {text, count, sum}."""
        told = {
            name: [{"index": group, "words": _largest(words)} for group, words in sorted(classes.items())]
            for name, classes in self.found.items()
        }
        return {"words": told, "words_left_out": self.left_out} if any(map(_told, told.values())) else {}

    def kept(self) -> dict[str, Any]:
        """All that another worker needs, for JSON."""
        return {"found": self.found, "left_out": self.left_out, "different": self.different}

    def restore(self, kept: Mapping[str, Any]) -> None:
        """What `kept` gave."""
        self.found = {name: {int(group): one for group, one in by.items()} for name, by in kept["found"].items()}
        self.left_out, self.different = kept["left_out"], kept["different"]


def _largest(words: Mapping[str, list[float]]) -> list[dict[str, Any]]:
    largest = sorted(words.items(), key=lambda item: (-abs(item[1][1]), item[0]))[:TOLD]
    return [{"text": word, "count": int(count), "sum": total} for word, (count, total) in largest]


def _told(classes: list[dict[str, Any]]) -> bool:
    return any(one["words"] for one in classes)
